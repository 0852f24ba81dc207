"""What happens to results before they are drawn: steadying, tracking."""
