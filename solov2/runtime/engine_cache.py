"""What engines keep in the user's cache: converted networks, and which engine was the fastest."""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import platformdirs

from solov2.checkpoints.fingerprint import weights_fingerprint
from solov2.network.model import SOLOv2

MAX_FILES = 40  # the oldest are deleted: every training makes other weights
_VERSIONS = ("solov2-live", "torch", "onnx", "onnxscript", "onnxruntime", "openvino", "tensorrt")


def cache_folder() -> Path:
    """Return the folder; it need not exist. `SOLOV2_CACHE` names another place."""
    return Path(os.environ.get("SOLOV2_CACHE") or platformdirs.user_cache_dir("solov2")) / "engines"


def file_name(model: SOLOv2, *parts: object, suffix: str) -> str:
    """Return a name that is another one for other weights, other `parts`, or another version of a library."""
    text = repr((model.variant, weights_fingerprint(model), _versions(), parts))
    return f"{model.variant.name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}{suffix}"


def cached(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the bytes of the file called `name`, or those that `make` returns, which are then kept under that name.

    A cache that cannot be written is told in one line on standard error, and the bytes are made again next time.
    """
    path = cache_folder() / name
    with suppress(OSError):
        return path.read_bytes()
    content = make()
    beside = path.with_name(f".{name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        print(f"could not keep {path}: {error.strerror or error}; it is made again next time", file=sys.stderr)
    else:
        _delete_oldest(path.parent)
    return content


def _delete_oldest(folder: Path) -> None:
    with suppress(OSError):  # another process may delete them at the same time
        files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in files[:-MAX_FILES]:
            path.unlink(missing_ok=True)


def _versions() -> list[str]:
    versions = []
    for library in _VERSIONS:
        with suppress(PackageNotFoundError):
            versions.append(f"{library} {version(library)}")
    return versions
