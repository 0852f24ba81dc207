"""The same instances in every form in which masks can be given tell the same."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from solov2 import Instances
from solov2.decoding.geometry import Geometry
from solov2.masks.mask_crop import MaskCrop
from solov2.masks.mask_form import DenseMasks
from tests.test_structures import blobs

HW = (75, 130)
GEOMETRY = Geometry.fit(HW, 256, 128)
SCORES, LABELS = np.linspace(0.9, 0.4, 6), np.array([0, 1, 0, 2, 2, 1])


def from_probs() -> Instances:
    return Instances.from_probs(blobs(6, GEOMETRY), SCORES, LABELS, GEOMETRY)


def uncompressed(mask: np.ndarray) -> dict[str, object]:
    flat = np.concatenate([[0], mask.T.reshape(-1), [1 - mask[-1, -1]]])
    edges = np.flatnonzero(np.diff(flat))
    return {"size": list(HW), "counts": np.diff(edges, prepend=0).tolist()}


MAKERS: dict[str, Callable[[np.ndarray], Instances]] = {
    "bool array": lambda masks: Instances.from_masks(masks, SCORES, LABELS),
    "uint8 array": lambda masks: Instances.from_masks(masks.astype(np.uint8), SCORES, LABELS),
    "array of probabilities": lambda masks: Instances.from_masks(0.4 + 0.2 * masks, SCORES, LABELS),
    "tensor of probabilities": lambda masks: Instances.from_masks(torch.tensor(0.2 * masks), SCORES, LABELS, 0.1),
    "bool tensor": lambda masks: Instances.from_masks(torch.tensor(masks), torch.tensor(SCORES), torch.tensor(LABELS)),
    "crops": lambda masks: Instances.from_crops(from_probs().crops, SCORES, LABELS, HW),
    "compressed codes": lambda masks: Instances.from_rle(from_probs().rle(), SCORES, LABELS, HW),
    "uncompressed codes": lambda masks: Instances.from_rle(list(map(uncompressed, masks)), SCORES, LABELS, HW),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_form_tells_the_same(name: str) -> None:
    expected = from_probs()
    found = MAKERS[name](expected.masks)
    assert_same(found, expected)
    chosen = np.array([4, 0])
    assert_same(found.select(chosen), expected.select(chosen))
    assert_same(found.select(LABELS == 2), expected.select(LABELS == 2))
    assert repr(found) == repr(expected) == "Instances(6 in 130x75, best 0.90)"


def assert_same(found: Instances, expected: Instances) -> None:
    assert found.image_hw == expected.image_hw == HW
    dtypes = [array.dtype.name for array in (found.scores, found.labels, found.boxes)]
    assert dtypes == ["float32", "int64", "float32"]
    for name in ("scores", "labels", "masks", "boxes", "areas", "id_map"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(found.semantic_map(), expected.semantic_map())
    assert found.rle() == expected.rle()
    for step in (1, 2, 3, 7, 50):
        for one, other in zip(found.form.sampled_crops(step), expected.form.sampled_crops(step), strict=True):
            assert (one.box, one.mask.tolist()) == (other.box, other.mask.tolist())


def test_sampled_masks_are_every_nth_pixel_of_the_masks() -> None:
    found = from_probs()
    for crop, mask in zip(found.form.sampled_crops(4), found.masks, strict=True):
        plane = np.zeros((19, 33), bool)
        crop.window(plane)[:] = crop.mask
        np.testing.assert_array_equal(plane, mask[::4, ::4])
    assert "crops" not in vars(from_probs().form)


def test_what_was_given_is_not_computed_again() -> None:
    masks = from_probs().masks
    assert Instances.from_masks(masks, SCORES, LABELS).masks is masks
    codes = from_probs().rle()
    given = Instances.from_rle(codes, SCORES, LABELS, HW)
    assert given.rle() == codes
    assert "crops" not in vars(given.form)


def test_codes_that_are_returned_belong_to_the_caller() -> None:
    found = from_probs()
    found.rle()[0]["size"].clear()
    assert found.rle()[0]["size"] == list(HW)


def test_masks_of_another_shape_or_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^masks must be \(N, H, W\), got \(2, 1, 5, 5\)$"):
        Instances.from_masks(np.zeros((2, 1, 5, 5)), [1, 1], [0, 0])
    with pytest.raises(ValueError, match="must be of 75 rows and 130 columns, got 4 and 5"):
        Instances.from_rle([{"size": [4, 5], "counts": [20]}], [1], [0], HW)
    with pytest.raises(ValueError, match=r"^lengths must agree, got 1 masks, 1 scores, 2 labels$"):
        Instances.from_crops([MaskCrop(0, 0, np.ones((1, 1), bool))], [1], [0, 0], HW)


def test_codes_never_need_a_plane_for_each_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """pycocotools' encoder, which takes whole planes, is not called; nor are the dense masks computed."""
    monkeypatch.setattr(coco_mask, "encode", None)
    found = from_probs()
    assert len(found.rle()) == 6
    assert "masks" not in vars(found.form)
    dense = Instances.from_masks(from_probs().masks, SCORES, LABELS)
    assert isinstance(dense.form, DenseMasks)
    assert dense.rle() == found.rle()
