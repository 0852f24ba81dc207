"""A file of cameras: YAML that is checked against a schema, with errors of one line."""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from app.config_file import Printable, read_yaml
from app.lane_plan import LanePlan, PlanError, named_plan
from app.sinks.recording_plan import RecordingPlan
from app.zones_file import AreasEntry

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Camera(AreasEntry):
    """One entry of a file of cameras."""

    name: Printable = Field(min_length=1, max_length=200)
    source: Printable | int
    score: float | None = Field(default=None, ge=0, le=1)
    classes: list[str] | None = Field(default=None, min_length=1)
    track: bool | None = None
    save: Printable | None = None
    segment_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    record_when: list[str] | None = Field(default=None, min_length=1)
    pre_roll_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    steady: bool | None = None
    events: list[Printable] | None = None


class _Cameras(BaseModel):
    """A file of cameras."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cameras: list[_Camera] = Field(min_length=1)


def read_plans(path: Path, common: LanePlan) -> list[LanePlan]:
    """Return the plans in a file of cameras; what an entry leaves out is as in `common`.

    The file is YAML: `cameras`, a list of entries with `name`, `source` and, if wanted, `score`, `classes`, `track`,
    `save`, `segment_minutes`, `record_when`, `pre_roll_seconds`, `zones`, `lines`, `steady`, `events`. `${NAME}` in a
    source, or where events go, stands for an environment variable, so that no password need be in the file.

    Raises:
        PlanError: the file cannot be read, or does not fit that; a variable is not set; two cameras have one name.
    """
    cameras = read_yaml(path, _Cameras, PlanError).cameras
    twice = [name for name, count in Counter(camera.name for camera in cameras).items() if count > 1]
    if twice:
        raise PlanError(f"{path}: two cameras are called {twice[0]!r}; each name must be there once")
    return [_plan_of(camera, common, path) for camera in cameras]


def _plan_of(camera: _Camera, common: LanePlan, path: Path) -> LanePlan:
    plan = replace(
        common,
        score=common.score if camera.score is None else camera.score,
        classes=common.classes if camera.classes is None else frozenset(camera.classes),
        track=common.track if camera.track is None else camera.track,
        save=common.save if camera.save is None else Path(camera.save),
        recording=_recording_of(camera, common.recording),
        areas=camera.areas() or common.areas,
        steady=common.steady if camera.steady is None else camera.steady,
        events=common.events
        if camera.events is None
        else tuple(_with_variables(target, camera.name, path) for target in camera.events),
    )
    return named_plan(camera.name, _with_variables(str(camera.source), camera.name, path), plan)


def _recording_of(camera: _Camera, common: RecordingPlan) -> RecordingPlan:
    minutes, classes, seconds = camera.segment_minutes, camera.record_when, camera.pre_roll_seconds
    return replace(
        common,
        segment_seconds=common.segment_seconds if minutes is None else 60 * minutes,
        record_when=common.record_when if classes is None else frozenset(classes),
        pre_roll_seconds=common.pre_roll_seconds if seconds is None else seconds,
    )


def _with_variables(address: str, name: str, path: Path) -> str:
    for variable in _VARIABLE.findall(address):
        if variable not in os.environ:
            raise PlanError(f"{path}: camera {name!r} needs the environment variable {variable}, which is not set")
    return _VARIABLE.sub(lambda found: os.environ[found[1]], address)
