"""How a network is executed: devices, precisions, engines."""
