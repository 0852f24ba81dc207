"""YAML as anybody may have written it: plain values alone, and every mistake in one line that quotes nothing."""

import re
from pathlib import Path
from typing import Any

import yaml

from solov2.errors import SOLOv2Error


class YAMLFileError(SOLOv2Error):
    """A file that cannot be read, or is not YAML."""


def load_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        YAMLFileError: it cannot be read, or is not YAML. The message names the line and never its text, which may have
            a password.
    """
    try:
        return yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise YAMLFileError(f"could not read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise YAMLFileError(f"{path} is not YAML: {_problem(error)}") from None
    except RecursionError:
        raise YAMLFileError(f"{path} is not YAML that can be read: its values are nested too deep") from None
    except (ValueError, TypeError, LookupError, AttributeError):  # PyYAML converts what it takes for a date or a number
        raise YAMLFileError(f"{path} has a value that is not what YAML takes it for: put it in quotes") from None


def _problem(error: yaml.YAMLError) -> str:
    """Say what is wrong and where; what PyYAML quotes of the file is left out, except single characters."""
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = getattr(error, "problem", None) or "a character is not allowed"
    if isinstance(error, yaml.constructor.ConstructorError):
        problem = re.split("[\"']", problem)[0].rstrip()  # before the tag or the value
    shown = re.sub("'([^']*)'", lambda quoted: quoted[0] if re.match(".$|<", quoted[1]) else "...", problem)
    return shown.encode("ascii", "backslashreplace").decode()[:120] + where
