"""What is done with the results of a source before they are shown: in the live program and on the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.events.delivery import Delivery
from app.events.publishing import Publishing
from app.processors.mask_hold import MaskHold
from app.processors.one_name import OneName
from app.processors.steadying import Steadying
from app.processors.tracking import Tracking
from app.processors.watching import Watching
from app.stream.areas import Area
from app.stream.controls import ControlPanel
from app.stream.parts import Processor


@dataclass(frozen=True, slots=True)
class LaneProcessors:
    """How the results of one source are processed.

    Attributes:
        name: of the source, in events.
        is_live: whether the source is live.
        is_steady: whether masks are kept from flickering.
        all_names: whether what covers the same pixels under another name is kept.
        areas: zones and lines to watch.
        deliveries: where events go.
        gives_masks: whether events hold masks.
    """

    name: str
    is_live: bool
    is_steady: bool
    all_names: bool = False
    areas: tuple[Area, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    gives_masks: bool = False

    def make(self, panel: ControlPanel, class_names: Sequence[str]) -> list[Processor]:
        """Return new processors, in their order. Zones, lines and events switch tracking on.

        Args:
            panel: the controls of the source.
            class_names: the name of each label.
        """
        first: list[Processor] = [MaskHold()]
        if not self.all_names:
            first.append(OneName())
        if self.is_steady:
            first.append(Steadying(panel))
        if not self.areas and not self.deliveries:
            return [*first, Tracking(panel)]
        return [
            *first,
            Tracking(panel, always=True),
            Watching(self.areas, class_names, panel=panel, gives_masks=self.gives_masks),
            Publishing(self.deliveries, name=self.name, is_live=self.is_live),
        ]
