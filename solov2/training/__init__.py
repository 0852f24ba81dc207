"""Training: augmentation, targets, losses, the loop, the report."""
