"""Hostile weights files, made by code: odd tensors, odd pickles, odd zip files, odd safetensors headers."""
