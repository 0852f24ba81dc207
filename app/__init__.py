"""The stream: sources, one worker that owns the device, processors, a renderer, sinks. Read `app/stream/` first."""
