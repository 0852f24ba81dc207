"""The widgets that choose an effect, and the effect that they describe."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import gradio as gr

from app.page.picture_upload import UnreadablePictureError, read_upload
from app.page.site import Site
from app.stream.effect import KINDS, Effect, EffectKind
from app.stream_errors import AppError

NONE = "none"
MAX_BACKGROUNDS = 50  # they are kept as long as the page, as a stream may show any of them
NAMES: dict[str, str] = {
    NONE: "None",
    "fill": "Cover",
    "pixelate": "Pixelate",
    "blur": "Blur",
    "background-blur": "Blur the background",
    "cut-out": "Green background",
    "background": "Picture as background",
}


@dataclass(frozen=True, slots=True)
class EffectFields:
    """The widgets of the effect."""

    kind: gr.Dropdown
    classes: gr.Dropdown
    picture: gr.File

    def all(self) -> list[gr.components.Component]:
        """All three, in the order of the arguments of `effects_of` and `shown_effects`."""
        return [self.kind, self.classes, self.picture]


def effect_fields(class_names: Sequence[str], *, has_background: bool, visible: bool = True) -> EffectFields:
    """Make the widgets.

    Args:
        class_names: what can be chosen.
        has_background: whether a picture may be given as the background.
        visible: False where the operator of the page has fixed the effects.
    """
    kinds = [(text, kind) for kind, text in NAMES.items() if has_background or kind != "background"]
    kind = gr.Dropdown(kinds, value=NONE, label="Effect", visible=visible, elem_classes="effect")
    classes = gr.Dropdown(
        list(class_names), multiselect=True, label="Effect on", visible=False, elem_classes="all-if-empty"
    )
    picture = gr.File(file_types=["image"], label="Background", visible=False, height=110)
    return EffectFields(kind, classes, picture)


def show_effect_details(kind: str) -> list[Any]:
    """Return the classes and the picture, each shown only if the effect needs it."""
    return [gr.Dropdown(visible=kind not in (NONE, "background")), gr.File(visible=kind == "background")]


def effects_of(site: Site, kind: str, classes: Sequence[str], upload: str | None) -> tuple[Effect, ...] | None:
    """Return what the widgets describe; None as long as there is no picture for the background.

    Raises:
        AppError: there is no such effect, or the picture cannot be read.
    """
    if kind == NONE:
        return ()
    if kind not in KINDS:
        raise AppError(f"an effect is one of {', '.join(KINDS)}, got {kind[:20]!r}")
    if kind != "background":
        return (Effect(cast("EffectKind", kind), frozenset(classes) or None),)
    return None if upload is None else (Effect("background", picture=_keep_background(site, Path(upload))),)


def shown_effects(effects: Sequence[Effect]) -> list[Any]:
    """Return the values of the widgets for effects that somebody has chosen, the first one's."""
    if not effects:
        return [NONE, gr.Dropdown(visible=False), gr.File(visible=False)]
    first = effects[0]
    needs_classes = first.kind != "background"
    return [
        first.kind,
        gr.Dropdown(value=sorted(first.classes or ()), visible=needs_classes),
        gr.File(visible=not needs_classes),
    ]


def parse_wish(text: str) -> tuple[Effect, ...]:
    """Return the effects that the Picture tab asks for: a kind, or a kind with classes behind a colon.

    Raises:
        AppError: there is no such effect.
    """
    kind, _, rest = text.partition(":")
    if kind in ("", NONE):
        return ()
    if kind not in KINDS or kind == "background":
        raise AppError(
            f"an effect is one of {', '.join(one for one in KINDS if one != 'background')}, got {kind[:20]!r}"
        )
    return (Effect(cast("EffectKind", kind), frozenset(name for name in rest.split("+") if name) or None),)


def _keep_background(site: Site, upload: Path) -> Path:
    """Check an uploaded picture and keep a copy, as uploads are removed after a while; return its path."""
    try:
        data = upload.read_bytes()
        picture = read_upload(data)
    except (OSError, UnreadablePictureError) as error:
        reason = "it is not there any more" if isinstance(error, OSError) else str(error)
        raise AppError(f"the background {upload.name} cannot be used: {reason}") from error
    path = site.folder / "backgrounds" / f"{hashlib.sha256(data).hexdigest()[:32]}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and len(list(path.parent.iterdir())) >= MAX_BACKGROUNDS:
        raise AppError(f"this page keeps {MAX_BACKGROUNDS} backgrounds at most: choose one that was used before")
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return path
