"""What `app.benchmark` does once its options are read: time the steps of each frame, and print the percentiles."""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from app.benchmark_picture import draw_steps
from app.drawing.renderer import Renderer
from app.machine import machine_name
from app.sinks.video_sink import VideoSink
from app.sinks.writable import writing
from app.sources import find_source
from app.stream.controls import Controls
from app.stream.frames import Frame, Picture, Result
from app.stream.stats import StreamStats
from app.stream_errors import SourceError
from solov2 import SOLOv2
from solov2.errors import SOLOv2Error
from solov2.predictor import Predictor
from solov2.runtime.device import find_device, find_dtype, prepare
from solov2.runtime.engine import engine_names
from solov2.runtime.open_predictor import Runnable, load_runnable, open_predictor
from solov2.variants import find_variant

PERCENTILES = (50, 95, 99)
WARM_UP_FRAMES = 10
WHOLE = "all of them"

Figures = dict[str, dict[str, float]]  # step -> {"p50", "p95", "p99"}, in milliseconds


def time_and_print(options: argparse.Namespace) -> int:
    """Do what the checked options of `app.benchmark` say; return the exit code."""
    device = find_device(options.device)
    if options.untrained:
        torch.manual_seed(0)
        row = find_variant(options.model)
        long_px, short_px = options.input_size or (row.long_px, row.short_px)
        untrained = SOLOv2(replace(row, long_px=long_px, short_px=short_px))
        untrained.mask_head.initialise()
        model: Runnable = prepare(untrained, device, find_dtype(options.dtype, device))
    else:
        model = load_runnable(options.model, device, options.dtype, options.input_size)
    names = engine_names(device.type) if options.all_engines and isinstance(model, SOLOv2) else [options.engine]
    predictors = open_all(model, names)
    frames, read_ms = read_frames(options)
    figures = time_steps(predictors, frames, read_ms)
    title = describe(model, frames[0])
    print_tables(figures, title)
    if options.json:
        content = {"machine": machine_name(device), "run": title, "ms": figures}
        with writing(options.json):
            options.json.write_text(json.dumps(content, indent=2) + "\n")
    if options.picture:
        with writing(options.picture):
            picture = draw_steps({name: _medians(own) for name, own in figures.items()}, title)
            options.picture.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return 0


def open_all(model: Runnable, names: Sequence[str]) -> dict[str, Predictor]:
    """Return a predictor for each engine; where there are several, one that fails is told in one line and left out."""
    predictors: dict[str, Predictor] = {}
    for name in names:
        try:
            predictors[name] = open_predictor(model, name, wait_each_step=True)
        except SOLOv2Error as error:
            if len(names) == 1:
                raise
            print(error, file=sys.stderr)
    return predictors


def read_frames(options: argparse.Namespace) -> tuple[list[Frame], list[float]]:
    """Return the frames to time, and the milliseconds that reading each of them took.

    Raises:
        SourceError: there are none.
    """
    frames, read_ms = [], []
    with closing(find_source(options.source)()) as source:
        started = time.perf_counter()
        for frame in itertools.islice(source, WARM_UP_FRAMES + options.frames):
            read_ms.append(1000 * (time.perf_counter() - started))
            frames.append(frame)
            started = time.perf_counter()
    if not frames:
        raise SourceError(f"{options.source} gave no frames to time")
    return frames, read_ms


def time_steps(
    predictors: Mapping[str, Predictor], frames: Sequence[Frame], read_ms: Sequence[float]
) -> dict[str, Figures]:
    """Return the percentiles of each step's milliseconds with each predictor, which take turns at every frame.

    Args:
        predictors: by the name of their engine.
        frames: the first `WARM_UP_FRAMES` are not counted, unless there are no others.
        read_ms: how long the reading of each took.
    """
    times: dict[str, defaultdict[str, list[float]]] = {name: defaultdict(list) for name in predictors}
    with tempfile.TemporaryDirectory() as folder:
        drawn = {name: _Drawn(predictor, Path(folder) / f"{name}.mp4") for name, predictor in predictors.items()}
        for number, (frame, read) in enumerate(zip(frames, read_ms, strict=True)):
            for name, one in drawn.items():
                steps = {"read": read, **one.steps_ms(frame)}
                if number >= min(WARM_UP_FRAMES, len(frames) - 1):
                    for step, milliseconds in {**steps, WHOLE: sum(steps.values())}.items():
                        times[name][step].append(milliseconds)
        for one in drawn.values():
            one.sink.close()
    return {name: {step: _percentiles(values) for step, values in own.items()} for name, own in times.items()}


class _Drawn:
    """Predicts, draws and encodes frames, one after the other."""

    def __init__(self, predictor: Predictor, path: Path) -> None:
        self._predictor, self.sink = predictor, VideoSink(path)
        self._controls, self._renderer, self._stats = Controls(), Renderer(predictor.class_names), StreamStats()

    def steps_ms(self, frame: Frame) -> dict[str, float]:
        steps: dict[str, float] = {}
        started = time.perf_counter()
        (found,) = self._predictor.predict_batch([frame.image], self._controls.score_threshold, steps_ms=steps)
        steps = steps or {"predict": 1000 * (time.perf_counter() - started)}
        result = Result(frame, found, draw=self._draw)
        for step, work in (("draw", lambda: result.plain), ("encode", lambda: self.sink.write(result))):
            started = time.perf_counter()
            work()
            steps[step] = 1000 * (time.perf_counter() - started)
        return steps

    def _draw(self, result: Result) -> Picture:
        return self._renderer.draw(result, self._controls, self._stats.snapshot())


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{percent}": float(np.percentile(values, percent)) for percent in PERCENTILES}


def _medians(figures: Figures) -> dict[str, float]:
    return {step: values["p50"] for step, values in figures.items() if step != WHOLE}


def describe(model: Runnable, frame: Frame) -> str:
    """Return what is measured, and on what, as one line."""
    geometry = model.geometry(frame.image)
    (height, width), (input_height, input_width) = geometry.image_hw, geometry.padded_hw
    return (
        f"{model.variant.name}, {str(model.dtype).removeprefix('torch.')}, {width}x{height} frames at "
        f"{input_width}x{input_height}; {machine_name(model.device)}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )


def print_tables(figures: Mapping[str, Figures], title: str) -> None:
    """Print what was measured: a table for each engine."""
    print(title)
    for engine, rows in figures.items():
        print(f"{engine + ', ms':14}" + "".join(f"{f'p{percent}':>9}" for percent in PERCENTILES))
        for name, row in rows.items():
            print(f"{name:14}" + "".join(f"{value:9.2f}" for value in row.values()))
        print(f"{1000 / rows[WHOLE]['p50']:.1f} frames per second, one at a time")
