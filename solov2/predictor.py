"""What a stream asks of a model: images in, instances out. A model of any family, run by any engine, can be one."""

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from solov2.instances import Instances

WARM_UP_HW = (720, 1280)


class Predictor(Protocol):
    """Finds the instances in images. `predict_batch` may be called from any thread."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        ...

    @property
    def workers(self) -> int:
        """How many calls of `predict_batch` pay at the same time, each in a thread of its own.

        It is 1 where every call takes the whole device, which gives each image the shortest delay.
        """
        ...

    @property
    def batch_size(self) -> int:
        """How many images pay in one call; 1 where a batch takes as long as its images one after another."""
        ...

    def predict_batch(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> "list[Instances]":
        """Return what is in each image. What is found in one does not depend on the others.

        Args:
            images: (H, W, 3) uint8 RGB each, of any size.
            score_threshold: instances below it need not be found, in [0, 1]. The caller leaves them out itself.
            labels: instances with other labels need not be found; None asks for all.
            steps_ms: gets the milliseconds of each step for one image, in the order in which the steps run. A predictor
                may leave it empty; the time of the whole call is then taken.

        Returns:
            The instances of each image, best first, in the order of the images.
        """
        ...


class ImagePredictor(ABC):
    """A `Predictor` of a model that takes one image at a time: subclasses define `class_names` and `predict`."""

    class_names: tuple[str, ...]
    workers = batch_size = 1

    @abstractmethod
    def predict(self, image: npt.NDArray[np.uint8]) -> "Instances":
        """Return what is in an image, (H, W, 3) uint8 RGB."""

    def predict_batch(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> "list[Instances]":
        """Return what is in each image; the stream leaves out what nobody wants."""
        return [self.predict(image) for image in images]


def warm_up(predictor: Predictor) -> None:
    """Run once on an HD image, so that the first frame does not wait for the device's libraries."""
    predictor.predict_batch([np.zeros((*WARM_UP_HW, 3), np.uint8)])
