"""The stream: sources, one worker that owns the device, a renderer, sinks. `app/pipeline.py` shows how they meet."""
