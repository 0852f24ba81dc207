"""The network: backbone, pyramid, head, and the model that joins them."""
