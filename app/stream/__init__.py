"""The data flow of a stream: frames, channels between threads, statistics."""
