"""Weights files: of strangers, through every command that reads them, and the state of unfinished trainings."""

import contextlib
import functools
import io
import itertools
from pathlib import Path

import torch
from hypothesis import strategies as st

from solov2 import load_model, zoo
from solov2.checkpoints.checkpoint import read_checkpoint
from solov2.checkpoints.identify import describe_misfit, is_by_class
from solov2.errors import SOLOv2Error
from solov2.network.model import SOLOv2
from solov2.training.initialise import load_backbone, load_initial_weights
from solov2.variants import VARIANTS
from tests.fuzz.checkpoints.headers import file_of, header_files, random_headers
from tests.fuzz.checkpoints.pickles import pickle_files, whole_file, zip_files
from tests.fuzz.checkpoints.runs import odd_runs, resume, with_odd_value
from tests.fuzz.checkpoints.weights import (
    ODD_CLASSES,
    ODD_FACTS,
    ODD_KEYS,
    ODD_TENSORS,
    PLACES,
    with_odd_facts,
    with_odd_key,
    with_odd_tensor,
)
from tests.fuzz.files import HostileFile, mutated, reads_file
from tests.fuzz.target import Target, bad_message


def _load(path: Path) -> None:
    model = load_model(path)
    assert all(isinstance(name, str) and name.isprintable() for name in model.class_names)
    rows = next(len(tensor) for name, tensor in model.state_dict().items() if is_by_class(name))
    assert len(model.class_names) == rows
    assert 32 <= model.variant.short_px <= model.variant.long_px <= 4096


def _zoo(*arguments: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert zoo.main([*arguments, "--debug"]) == 0
    assert all(line.isprintable() for line in printed.getvalue().splitlines()), "prints control characters"


@functools.cache
def _model() -> SOLOv2:
    return SOLOv2(VARIANTS["nano"], ("person", "fox"))


def _warm_up() -> None:
    """Build what every process would build anew: the shapes of all variants, a model to be filled."""
    describe_misfit({"weight": torch.ones(1)})
    _model()
    torch.set_num_threads(1)  # a forked process has no other threads


_READERS = (
    lambda path: _zoo("info", str(path)),
    _load,
    lambda path: _zoo("convert", str(path), str(path.with_suffix(".safetensors"))),
    lambda path: load_initial_weights(_model(), path),
    lambda path: load_backbone(_model(), path),
)


def _read_everywhere(path: Path) -> None:
    """Give a file to each command that reads weights; raise the last refusal, or the first bad one.

    All of them begin with `read_checkpoint`: what that refuses is not tried again.
    """
    read_checkpoint(path)
    refusal: SOLOv2Error | None = None
    for read in _READERS:
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                read(path)
        except SOLOv2Error as error:
            refusal = error
            if bad_message(str(error)):
                break
    if refusal:
        raise refusal


_ODD_WEIGHTS = [
    *(with_odd_tensor(oddity, place) for oddity, place in itertools.product(ODD_TENSORS, PLACES)),
    *(with_odd_key(oddity, alone) for oddity, alone in itertools.product(ODD_KEYS, (False, True))),
    *(with_odd_facts("keys", oddity) for oddity in ODD_KEYS),
    *(with_odd_facts(kind, oddity) for kind, oddity in itertools.product(("classes", "own classes"), ODD_CLASSES)),
    *(with_odd_facts("facts", oddity) for oddity in ODD_FACTS),
]
_OTHER_WEIGHTS = st.one_of(
    st.builds(
        with_odd_tensor,
        st.sampled_from(list(ODD_TENSORS)),
        st.sampled_from([*PLACES[:4], "all"]),
        st.just("nano"),
        st.sampled_from(["zip", "legacy"]),
    ),
    st.builds(with_odd_facts, st.just("classes"), st.sampled_from(list(ODD_CLASSES)), st.just("nano")),
)
_WHOLE = [
    whole_file("zip"),
    whole_file("legacy"),
    HostileFile("safetensors", file_of({"weight": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}})),
]
_FILES = [*pickle_files(), *zip_files(), *header_files(), *_ODD_WEIGHTS]

TARGETS = (
    Target(
        "checkpoint",
        "checkpoints",
        st.one_of(st.sampled_from(_FILES), _OTHER_WEIGHTS, mutated(_WHOLE), mutated(_WHOLE)),
        reads_file(_read_everywhere, ".pth"),
        known=_FILES,
        examples=10,
        warm_up=_warm_up,
    ),
    Target(
        "safetensors", "checkpoints", random_headers(), reads_file(_read_everywhere, ".safetensors"), warm_up=_warm_up
    ),
    Target(
        "last-pt",
        "checkpoints",
        odd_runs(),
        reads_file(resume, ".pt"),
        known=[
            with_odd_value(("optimizer", "state", 0, "exp_avg"), "gone"),
            with_odd_value(("class_names",), "10^9 equal numbers"),
        ],
        examples=10,
        warm_up=lambda: torch.set_num_threads(1),
    ),
)
