"""Where results go: a window, a video file."""
