"""An engine of your own, here a program that torch.export made of the network; you will see own_engine.mp4.

python demos/own_engine.py [SOURCE] [OUT.mp4] [FRAMES]
"""

import sys
from functools import lru_cache

import torch

from app.drawing.renderer import Renderer
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import load_model
from solov2.decoding.decode import decode
from solov2.network.outputs import HeadOutputs
from solov2.predictor import ImagePredictor

spec, out, frames = (*sys.argv[1:], *("demo", "own_engine.mp4", "1000000")[len(sys.argv) - 1 :])
model = load_model("nano")
strides = model.variant.level_strides
levels = len(strides)


class Flat(torch.nn.Module):
    """The network with a plain tuple of tensors as its outputs, which every engine can give."""

    def forward(self, batch):  # type: ignore[no-untyped-def]
        """Return the category logits, kernels and boxes of all levels, and the mask features."""
        outputs = model(batch)
        return (*outputs.category_logits, *outputs.kernels, *(outputs.boxes or ()), outputs.mask_features)


@lru_cache(maxsize=4)
def engine(shape: torch.Size) -> torch.nn.Module:
    """Return the program for inputs of one shape."""
    return torch.export.export(Flat(), (torch.zeros(shape),)).module()


class ExportedPredictor(ImagePredictor):
    """Input and decoding are those of the network itself."""

    class_names = model.class_names

    @torch.inference_mode()
    def predict(self, image):  # type: ignore[no-untyped-def]
        """Return what is in an image."""
        batch = model.preprocess([image], geometry := model.geometry(image))
        *maps, features = engine(batch.shape)(batch)
        logits, kernels, *boxes = (maps[i : i + levels] for i in range(0, len(maps), levels))
        return decode(HeadOutputs(logits, kernels, features, boxes[0] if boxes else None, strides), geometry)


renderer, source = Renderer(model.class_names), open_source(spec)
lane = Lane(source, [VideoSink(out)], draw=lambda result: renderer.draw(result, Controls()), max_frames=int(frames))
Stream([lane], ExportedPredictor()).run()
print(f"saved {out}")
