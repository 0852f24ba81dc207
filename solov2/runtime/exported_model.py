"""A model that `solov2.export` wrote: its file, and the predictor that runs it without building the network."""

import hashlib
import json
import threading
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from solov2.decoding.geometry import Geometry, check_image
from solov2.errors import CheckpointError, EngineError, MissingExtraError
from solov2.instances import Instances
from solov2.pixels import Image, Size, resize_bilinear
from solov2.runtime.engine import Hint
from solov2.runtime.names import EXPORT_FORMATS
from solov2.runtime.onnxruntime_engine import open_session
from solov2.runtime.openvino_library import import_openvino
from solov2.runtime.whole_network import INPUT_NAME, OUTPUT_NAMES
from solov2.variants import VARIANTS, Variant

METADATA_KEY = "solov2"  # under which the file carries its facts
MAX_WORKERS = 4  # calls side by side; each holds the activations of a whole network

Arrays = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What an exported file says about itself.

    Attributes:
        variant: our name.
        class_names: the name of each label.
        long_px, short_px: as in `Variant`.
        image_hw: (height, width) of the pictures that it was exported for; others of the same shape fit, too.
        score_threshold, mask_threshold, final_score_threshold: as in `DecodeConfig`.
        max_candidates: (cell, label) pairs that it decodes at most.
        is_int8: whether it was quantised.
    """

    variant: str
    class_names: tuple[str, ...]
    long_px: int
    short_px: int
    image_hw: Size
    score_threshold: float
    mask_threshold: float
    final_score_threshold: float
    max_candidates: int
    is_int8: bool

    def to_json(self) -> str:
        """Return them as they are written."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, path: Path) -> "ExportFacts":
        """Return the facts in `text`, which the file at `path` carries.

        Raises:
            CheckpointError: they are missing or broken.
        """
        try:
            values = json.loads(text)
            names, image_hw = tuple(map(str, values.pop("class_names"))), tuple(map(int, values.pop("image_hw")))
            facts = cls(class_names=names, image_hw=(image_hw[0], image_hw[1]), **values)
            Geometry.fit(facts.image_hw, facts.long_px, facts.short_px)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"{path} was not written by solov2.export: what it says of itself is broken"
            ) from error
        if facts.variant not in VARIANTS:
            raise CheckpointError(f"{path} is of a variant that is not known here: {facts.variant[:40]!r}")
        return facts


class ExportedModel:
    """An exported file, read; it has what the commands ask of a model.

    Attributes:
        path: of the file.
        facts: what it says about itself.
        variant, class_names: of the model that it was made from.
        device, dtype: where it runs, and the precision of what goes in and comes out.
    """

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, path: Path) -> None:
        """Read the file's facts.

        Raises:
            CheckpointError: it is no exported model.
            MissingExtraError: the library that runs it is not installed.
        """
        self.path, self.engine = path, EXPORT_FORMATS[path.suffix]
        try:
            text = _read_facts(path, self.engine)
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or self.engine, self.engine) from error
        except Exception as error:  # of a library, about a broken file
            raise CheckpointError(f"{path} cannot be read by {self.engine}: {type(error).__name__}") from error
        self.facts = ExportFacts.from_json(text, path)
        self.class_names = self.facts.class_names
        row = VARIANTS[self.facts.variant]
        self.variant: Variant = replace(row, long_px=self.facts.long_px, short_px=self.facts.short_px)
        self._own = Geometry.fit(self.facts.image_hw, self.facts.long_px, self.facts.short_px)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the file."""
        files = [self.path, self.path.with_suffix(".bin")]
        return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:16]

    def geometry(self, image: Image) -> Geometry:
        """Return how (H, W, 3) `image` is brought to the size that the file was exported for.

        Raises:
            EngineError: it has another shape.
        """
        height, width = check_image(image).shape[:2]
        geometry = Geometry.fit((height, width), self.variant.long_px, self.variant.short_px)
        if geometry.resized_hw != self._own.resized_hw:
            own_height, own_width = self.facts.image_hw
            raise EngineError(
                f"{self.path} was exported for pictures of {own_width}x{own_height}, got {width}x{height}. "
                f"Export it again with --size {width}x{height}"
            )
        return geometry

    def predict(self, image: Image) -> Instances:
        """Return what is in one picture."""
        return ExportedPredictor(self).predict_batch([image])[0]


class ExportedPredictor:
    """A `solov2.predictor.Predictor`.

    Attributes:
        truncated: how many pictures had more candidates than the file decodes; the best of them were kept.
    """

    batch_size = 1

    def __init__(self, model: ExportedModel, hint: Hint = "latency") -> None:
        """Compile the network."""
        self._model, self.class_names, self.truncated = model, model.class_names, 0
        threads = torch.get_num_threads()
        self.workers = 1 if hint == "latency" else min(threads, MAX_WORKERS)
        self._run = (
            _openvino(model.path, hint, self.workers)
            if model.engine == "openvino"
            else _onnx(model.path, threads // self.workers)
        )

    def predict_batch(
        self,
        images: Sequence[Image],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        """Return what is in each image."""
        return [self._predict(image, score_threshold) for image in images]

    def _predict(self, image: Image, score_threshold: float) -> Instances:
        geometry = self._model.geometry(image)
        scores, labels, masks, candidates = self._run(np.ascontiguousarray(resize_bilinear(image, geometry.resized_hw)))
        self.truncated += int(candidates > self._model.facts.max_candidates)
        count = int(np.count_nonzero(scores >= max(score_threshold, self._model.facts.final_score_threshold)))
        probs = torch.from_numpy(masks[:count].copy())  # the library may write the next picture's there
        threshold = self._model.facts.mask_threshold
        return Instances.from_probs(probs, scores[:count].copy(), labels[:count].copy(), geometry, threshold)


def _read_facts(path: Path, engine: str) -> str:
    if engine == "openvino":
        network = import_openvino().Core().read_model(path)
        return str(network.get_rt_info([METADATA_KEY]).value) if network.has_rt_info([METADATA_KEY]) else ""
    return str(open_session(str(path), 1).get_modelmeta().custom_metadata_map.get(METADATA_KEY, ""))


def _openvino(path: Path, hint: Hint, streams: int) -> Callable[[Image], Arrays]:
    settings = {
        "PERFORMANCE_HINT": hint.upper(),
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = import_openvino().Core().compile_model(path, "CPU", settings)
    own = threading.local()  # each thread has a request of its own

    def run(image: Image) -> Arrays:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer([image], share_inputs=True, share_outputs=True)
        return [found[name] for name in OUTPUT_NAMES]

    return run


def _onnx(path: Path, threads: int) -> Callable[[Image], Arrays]:
    session = open_session(str(path), threads)

    def run(image: Image) -> Arrays:
        found: Arrays = session.run(list(OUTPUT_NAMES), {INPUT_NAME: image})
        return found

    return run
