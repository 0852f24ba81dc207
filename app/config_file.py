"""A YAML file that is checked against a schema, with errors of one line."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from app.stream_errors import AppError
from solov2.errors import printable
from solov2.yaml_file import YAMLFileError, load_yaml

Schema = TypeVar("Schema", bound=BaseModel)


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("not_printable", "must have no control characters")
    return text


Printable = Annotated[str, AfterValidator(_check_printable)]  # a text for names, which messages and files show


def read_yaml(path: Path, schema: type[Schema], error_class: type[AppError]) -> Schema:
    """Return what a YAML file holds, checked against `schema`; raise `error_class` with one line."""
    try:
        return schema.model_validate(load_yaml(path))
    except YAMLFileError as error:
        raise error_class(str(error)) from error
    except ValidationError as error:
        raise error_class(f"{path}: {_first_problem(error, schema)}") from None


def _first_problem(error: ValidationError, schema: type[BaseModel]) -> str:
    """Name the place and the mistake, and never the value, which may be a password."""
    problem = error.errors(include_input=False, include_url=False)[0]
    place = printable(".".join(map(str, problem["loc"]))) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"unknown key {place}; known: {', '.join(_known_keys(schema, problem['loc'][:-1]))}"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _known_keys(schema: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand at a place of a file: each name in `place` is that of a list of entries."""
    for step in place:
        if isinstance(step, str):
            schema = _entry_of(schema.model_fields[step].annotation)
    return sorted(schema.model_fields, key=lambda name: name not in schema.__annotations__)  # inherited ones last


def _entry_of(annotation: Any) -> type[BaseModel]:
    """Return the model in the annotation of a list of models."""
    found: type[BaseModel] = annotation.__args__[0]
    return found
