"""What `app.benchmark` does once its options are read: time the steps of each frame, and print the percentiles."""

import argparse
import itertools
import json
import platform
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch

from app.drawing.renderer import Renderer
from app.sinks.writable import writing
from app.sources import find_source
from app.stream.controls import Controls
from app.stream.frames import Frame, Result
from app.stream.stats import StreamStats
from app.stream_errors import SourceError
from solov2 import SOLOv2, load_model
from solov2.runtime.device import find_device, find_dtype, prepare
from solov2.runtime.torch_predictor import TorchPredictor
from solov2.variants import find_variant

PERCENTILES = (50, 95, 99)
WARM_UP_FRAMES = 10


def time_and_print(options: argparse.Namespace) -> int:
    """Do what the checked options of `app.benchmark` say; return the exit code."""
    device = find_device(options.device)
    if options.untrained:
        torch.manual_seed(0)
        model = SOLOv2(find_variant(options.model))
        model.mask_head.initialise()
        model = prepare(model, device, find_dtype(options.dtype, device))
    else:
        model = load_model(options.model, device=device, dtype=options.dtype)
    with closing(find_source(options.source)()) as source:
        frames = list(itertools.islice(source, WARM_UP_FRAMES + options.frames))
    if not frames:
        raise SourceError(f"{options.source} gave no frames to time")
    figures = time_steps(model, frames)
    print_table(figures, model, frames[0])
    if options.json:
        with writing(options.json):
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def time_steps(model: SOLOv2, frames: Sequence[Frame]) -> dict[str, dict[str, float]]:
    """Return the percentiles of each step's milliseconds: step -> {"p50", "p95", "p99"}.

    Args:
        model: on its device.
        frames: the first `WARM_UP_FRAMES` are not counted, unless there are no others.
    """
    controls, renderer, stats = Controls(), Renderer(model.class_names), StreamStats()
    predictor = TorchPredictor(model, wait_each_step=True)
    steps_ms: defaultdict[str, list[float]] = defaultdict(list)
    for number, frame in enumerate(frames):
        steps: dict[str, float] = {}
        (found,) = predictor.predict_batch([frame.image], controls.score_threshold, steps_ms=steps)
        started = time.perf_counter()
        renderer.draw(Result(frame, found), controls, stats.snapshot())
        steps["draw"] = 1000 * (time.perf_counter() - started)
        if number >= min(WARM_UP_FRAMES, len(frames) - 1):
            for name, milliseconds in {**steps, "all of them": sum(steps.values())}.items():
                steps_ms[name].append(milliseconds)
    return {
        name: {f"p{percent}": float(np.percentile(times, percent)) for percent in PERCENTILES}
        for name, times in steps_ms.items()
    }


def print_table(figures: dict[str, dict[str, float]], model: SOLOv2, frame: Frame) -> None:
    """Print what was measured, and on what."""
    geometry = model.geometry(frame.image)
    machine = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.processor() or "CPU"
    (height, width), (input_height, input_width) = geometry.image_hw, geometry.padded_hw
    print(
        f"{model.variant.name}, {str(model.dtype).removeprefix('torch.')}, {width}x{height} frames at "
        f"{input_width}x{input_height}; {machine}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{'ms per frame':14}" + "".join(f"{f'p{percent}':>9}" for percent in PERCENTILES))
    for name, row in figures.items():
        print(f"{name:14}" + "".join(f"{value:9.2f}" for value in row.values()))
    print(f"{1000 / figures['all of them']['p50']:.1f} frames per second, one at a time")
