"""SOLOv2: pictures in, instances out."""
