"""How many people and cats there are in each second of a video; you will see a line per second.

python demos/count.py [SOURCE] [SECONDS]
"""

import sys
from collections import Counter
from contextlib import closing

from app.sources import open_source
from solov2 import load_model

spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
max_seconds = float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")

model = load_model("nano")
next_second = 0
with closing(open_source(spec)) as source:
    for frame in source:
        if frame.pts_seconds >= max_seconds:
            break
        if frame.pts_seconds >= next_second:
            next_second = int(frame.pts_seconds) + 1
            found = model.predict(frame.image)
            names = [model.class_names[label] for label in found.labels[found.scores >= 0.35]]
            counted = ", ".join(f"{count} {name}" for name, count in Counter(names).items())
            print(f"{frame.pts_seconds:6.1f} s: {counted or 'nobody'}")
