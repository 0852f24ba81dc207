"""What must be equal on all machines so that they find the same: this program and the libraries that compute."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import app
import solov2
from solov2 import __version__

LIBRARIES = ("torch", "numpy", "av", "opencv-python", "pycocotools")


@cache
def program_identity() -> dict[str, str]:
    """Return the versions of this program, with a digest of its own files, and of the libraries."""
    return {"solov2-live": f"{__version__}+{_digest_of_sources()}", **{name: _version(name) for name in LIBRARIES}}


def difference(own: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """Return the first difference as the end of a sentence about the other; None where there is none."""
    for name, wanted in own.items():
        if (found := other.get(name, "none")) != wanted:
            return f"has {name} {found}, and this command has {wanted}"
    return None


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for package in (app, solov2):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]
