"""Weights files: read without executing anything, identify the variant, download, convert."""
