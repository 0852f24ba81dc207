"""Turn the video that `make run` writes into the README's moving picture: `python docs/make_demo.py`."""

import av
from PIL import Image

EVERY = 3  # of 30 frames per second
SIZE_WH = (640, 360)

with av.open("output/demo.mp4") as video:
    frames = [frame.to_image() for number, frame in enumerate(video.decode(video=0)) if number % EVERY == 0]
small = [frame.resize(SIZE_WH, Image.Resampling.LANCZOS) for frame in frames]
small[0].save("docs/demo.webp", save_all=True, append_images=small[1:], duration=100, loop=0, quality=60, method=4)
