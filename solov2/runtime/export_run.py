"""What `solov2.export` does once its options are read: write the file, and compare it with torch."""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solov2.decoding.decode_config import DecodeConfig
from solov2.errors import DatasetError, EngineError
from solov2.files import find_pictures, writing
from solov2.load import load_model
from solov2.network.model import SOLOv2
from solov2.pixel_limit import check_file
from solov2.pixels import Image, resize_bilinear
from solov2.predictor import Predictor
from solov2.runtime.engine_choice import best_overlaps, probe_picture
from solov2.runtime.exported_model import METADATA_KEY, ExportedModel, ExportedPredictor, ExportFacts
from solov2.runtime.names import EXPORT_FORMATS
from solov2.runtime.onnx_network import as_onnx
from solov2.runtime.openvino_library import import_openvino
from solov2.runtime.torch_predictor import TorchPredictor
from solov2.runtime.whole_network import INPUT_NAME, OUTPUT_NAMES, WholeNetwork

MAX_CALIBRATION = 300  # pictures, NNCF's own default
MAX_COMPARED = 20  # pictures
MIN_OVERLAP = {False: 0.9, True: 0.5}  # by whether it is quantised: below it, something is broken
MATCHED_IOU = 0.5
UNQUANTISED = ("MatMul", "Multiply", "Subtract", "Divide")  # decoding and normalising; the networks are convolutions


def run_export(options: argparse.Namespace) -> int:
    """Do what the checked options of `solov2.export` say; return the exit code."""
    model = load_model(options.model, input_px=options.input_size)
    pictures = read_pictures(options, model)
    config = DecodeConfig()
    facts = ExportFacts(
        model.variant.name,
        model.class_names,
        model.variant.long_px,
        model.variant.short_px,
        options.size,
        config.score_threshold,
        config.mask_threshold,
        config.final_score_threshold,
        options.max_candidates,
        options.int8,
    )
    with tempfile.TemporaryDirectory(dir=options.out.parent) as folder:  # so that OUT is whole, or not there
        made = Path(folder) / options.out.name
        write_model(model, facts, pictures if options.int8 else [], made)
        agreement = compare(TorchPredictor(model), ExportedPredictor(ExportedModel(made)), pictures[:MAX_COMPARED])
        print(agreement.line())
        if agreement.overlap < MIN_OVERLAP[options.int8]:
            raise EngineError(f"{options.out} was not written, as its masks differ too much from those of torch")
        with writing(options.out):
            for file in sorted(Path(folder).iterdir()):
                shutil.move(file, options.out.parent / file.name)
    size = sum(file.stat().st_size for file in options.out.parent.glob(f"{options.out.stem}.*"))
    print(f"wrote {options.out} ({size / 1e6:.1f} MB)")
    return 0


def read_pictures(options: argparse.Namespace, model: SOLOv2) -> list[Image]:
    """Return the pictures to calibrate with and to compare on, at the size of the export.

    Raises:
        DatasetError: one cannot be read.
    """
    if options.calibration is None:
        return [probe_picture(options.size)]
    import cv2

    pictures = []
    for path in find_pictures(options.calibration)[:MAX_CALIBRATION]:
        check_file(path)
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DatasetError(f"{path} is not a picture that can be read. Take it out of the folder")
        pictures.append(resize_bilinear(np.asarray(bgr[..., ::-1], np.uint8), options.size))
    return pictures


def write_model(model: SOLOv2, facts: ExportFacts, calibration: Sequence[Image], path: Path) -> None:
    """Write the whole network to `path`, quantised with the pictures of `calibration` where there are any."""
    geometry = model.geometry(np.zeros((*facts.image_hw, 3), np.uint8))
    config = DecodeConfig(
        score_threshold=facts.score_threshold,
        mask_threshold=facts.mask_threshold,
        final_score_threshold=facts.final_score_threshold,
    )
    example = torch.zeros((*geometry.resized_hw, 3), dtype=torch.uint8)
    network = as_onnx(WholeNetwork(model, geometry, facts.max_candidates, config), example, INPUT_NAME, OUTPUT_NAMES)
    if EXPORT_FORMATS[path.suffix] == "onnx":
        import onnx

        proto = onnx.load_from_string(network)
        onnx.helper.set_model_props(proto, {METADATA_KEY: facts.to_json()})
        path.write_bytes(proto.SerializeToString())
        return
    openvino = import_openvino()
    graph = openvino.Core().read_model(network, b"")
    if calibration:
        graph = quantised(graph, [resize_bilinear(image, geometry.resized_hw) for image in calibration])
    graph.set_rt_info(facts.to_json(), [METADATA_KEY])
    openvino.save_model(graph, path, compress_to_fp16=False)


def quantised(graph: Any, images: Sequence[Image]) -> Any:
    """Return an OpenVINO graph whose convolutions run in int8, calibrated with `images`; decoding stays in float32."""
    import nncf

    return nncf.quantize(
        graph,
        nncf.Dataset(images),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(types=list(UNQUANTISED), validate=False),
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two predictors agree on some pictures.

    Attributes:
        pictures: how many were compared.
        expected, matched: instances of the first, and those of them that the second found, too.
        overlap: mean IoU of the matched ones, 1 where there are none.
        ms: milliseconds of a picture with each.
    """

    pictures: int
    expected: int
    matched: int
    overlap: float
    ms: tuple[float, float]

    def line(self) -> str:
        """Return them as one line."""
        found = f"{self.matched} of {self.expected} instances found again, mean IoU {self.overlap:.3f}"
        if not self.expected:
            found = "torch finds nothing in it: compare on pictures of your own with --calibration FOLDER"
        before, after = self.ms
        return (
            f"compared with torch on {self.pictures} pictures: {found}; {before:.1f} ms with torch, {after:.1f} ms here"
        )


def compare(expected: Predictor, found: Predictor, pictures: Sequence[Image]) -> Agreement:
    """Run both on the pictures, one after the other on each."""
    overlaps: list[float] = []
    times: tuple[list[float], list[float]] = [], []
    for picture in [pictures[0], *pictures]:  # the first warms up
        results = []
        for predictor, own in zip((expected, found), times, strict=True):
            started = time.perf_counter()
            results.append(predictor.predict_batch([picture])[0])
            own.append(1000 * (time.perf_counter() - started))
        overlaps += best_overlaps(*results) if len(times[0]) > 1 else []
    matched = [overlap for overlap in overlaps if overlap >= MATCHED_IOU]
    mean = statistics.fmean(matched) if matched else 0.0 if overlaps else 1.0
    before, after = (statistics.median(own[1:]) for own in times)
    return Agreement(len(pictures), len(overlaps), len(matched), mean, (before, after))
