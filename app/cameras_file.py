"""A file of cameras: YAML that is checked against a schema, with errors of one line."""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.lane_plan import LanePlan, PlanError, named_plan
from app.sinks.recording_plan import RecordingPlan

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Camera(BaseModel):
    """One entry of a file of cameras."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    source: str | int
    score: float | None = Field(default=None, ge=0, le=1)
    classes: list[str] | None = Field(default=None, min_length=1)
    track: bool | None = None
    save: str | None = None
    segment_minutes: float | None = Field(default=None, gt=0)
    record_when: list[str] | None = Field(default=None, min_length=1)
    pre_roll_seconds: float | None = Field(default=None, ge=0)


class _Cameras(BaseModel):
    """A file of cameras."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cameras: list[_Camera] = Field(min_length=1)


def read_plans(path: Path, common: LanePlan) -> list[LanePlan]:
    """Return the plans in a file of cameras; what an entry leaves out is as in `common`.

    The file is YAML: `cameras`, a list of entries with `name`, `source` and, if wanted, `score`, `classes`, `track`,
    `save`, `segment_minutes`, `record_when`, `pre_roll_seconds`. `${NAME}` in a source stands for an environment
    variable, so that no password need be in the file.

    Raises:
        PlanError: the file cannot be read, or does not fit that; a variable is not set; two cameras have one name.
    """
    try:
        cameras = _Cameras.model_validate(yaml.safe_load(path.read_text())).cameras
    except OSError as error:
        raise PlanError(f"could not read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is not YAML: {_one_line(error)}") from None
    except ValidationError as error:
        raise PlanError(f"{path}: {_first_problem(error)}") from None
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


def _with_variables(source: str, name: str, path: Path) -> str:
    for variable in _VARIABLE.findall(source):
        if variable not in os.environ:
            raise PlanError(f"{path}: camera {name!r} needs the environment variable {variable}, which is not set")
    return _VARIABLE.sub(lambda found: os.environ[found[1]], source)


def _first_problem(error: ValidationError) -> str:
    """Name the place and the mistake, and never the value, which may be a password."""
    problem = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, problem["loc"])) or "the file"
    if problem["type"] == "extra_forbidden":
        known = _Camera.model_fields if len(problem["loc"]) > 1 else _Cameras.model_fields
        return f"unknown key {place}; known: {', '.join(known)}"
    return f"{place}: {problem['msg']}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
