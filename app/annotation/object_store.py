"""Files in object stores: found, read, copied here and uploaded through fsspec (`s3://`, `gs://`, `memory://` ...).

Keys and endpoints come from fsspec's own configuration or the environment, as each store's library documents. fsspec
is imported when an address needs it.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from app.sources.address import redact, scheme_of
from app.stream_errors import DiskError, SourceError

if TYPE_CHECKING:
    from app.annotation.inputs import Input

_NO_STORES = ("file", "local", "http", "https", "ftp", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "rtp", "srt")


def store_protocol(name: str) -> str:
    """Return the protocol of an address that fsspec knows as a store of files; empty for anything else."""
    scheme = scheme_of(name)
    if scheme is None or scheme in _NO_STORES:
        return ""
    try:
        from fsspec import available_protocols
    except ImportError:
        return ""
    return scheme if scheme in available_protocols() else ""


def store_address(protocol: str, path: Path | PurePosixPath) -> str:
    """Return the address of a file in a store."""
    return f"{protocol}://{path.as_posix().lstrip('/')}"


def shown_address(address: str) -> str:
    """Return an address for a message, without its path if there may be a password in it."""
    return redact(address) if "@" in address else address


def find_files(address: str) -> list[Path]:
    """Return the files that an address stands for: a file, the files of a folder, or those that match a pattern.

    Raises:
        SourceError: the store does not answer, or its library is missing.
    """
    with _reading(address):
        files = _store(address)
        path = files._strip_protocol(address)
        if any(sign in address for sign in "*?["):
            found = files.glob(path)
        elif files.isdir(path):
            found = files.ls(path, detail=False)
        else:
            found = [path] if files.exists(path) else []
        return [Path(one) for one in found if files.isfile(one)]


def file_size(protocol: str, path: Path) -> int:
    """Return the bytes of a file in a store; raise SourceError if it cannot be read."""
    address = store_address(protocol, path)
    with _reading(address):
        return int(_store(address).size(path.as_posix()))


def open_file(protocol: str, path: Path) -> IO[bytes]:
    """Open a file in a store for reading; raise SourceError if it cannot be read."""
    address = store_address(protocol, path)
    with _reading(address):
        return cast(IO[bytes], _store(address).open(path.as_posix(), "rb"))


class LocalCopies:
    """Holds a copy of the file, or of the pictures, of the latest input that lies in an object store."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._original: Input | None = None
        self._copy: Input | None = None

    def local(self, one: "Input") -> "Input":
        """Return the input itself if it is on this machine, or its copy, which is made if the latest one was another.

        Raises:
            SourceError: it cannot be read.
        """
        if not one.protocol:
            return one
        if self._copy is None or self._original != one:
            self.close()
            self._folder = tempfile.TemporaryDirectory(prefix="solov2-live-")
            folder = Path(self._folder.name)
            paths = {path: _fetched(one.protocol, path, folder) for path in one.pictures or (one.path,)}
            copy = paths.get(one.path, folder)
            self._original = one
            self._copy = replace(one, path=copy, pictures=tuple(paths[path] for path in one.pictures), protocol="")
        return self._copy

    def named(self, one: "Input", message: str) -> str:
        """Return a message about the copy as one about the input."""
        if self._copy is None or not one.protocol:
            return message
        return message.replace(str(self._copy.path), one.shown)

    def close(self) -> None:
        """Remove the copy."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = self._original = self._copy = None


class StoredOutputs:
    """The folder of outputs in an object store, and the folder of this machine in which they are made.

    What is made here survives a kill, so that the same command resumes; it is removed once it was uploaded.
    """

    def __init__(self, address: str, staging: Path) -> None:
        """Take the address of the folder in the store, and the folder of this machine."""
        self._address, self.staging = address.rstrip("/"), staging

    def fetch(self, name: str) -> None:
        """Copy what an earlier run uploaded for an input into the staging folder, unless something is there already.

        Raises:
            SourceError: the store does not answer.
        """
        target, address = self.staging / name, f"{self._address}/{name}"
        with _reading(address):
            files = _store(address)
            path = files._strip_protocol(address)
            if target.exists() or not files.exists(f"{path}/summary.json"):
                return
            partial = target.with_name(f"{name}.fetching")
            shutil.rmtree(partial, ignore_errors=True)
            for one in files.find(path):
                copy = partial / PurePosixPath(one).relative_to(path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(one, str(copy))
            partial.rename(target)

    def upload(self, name: str) -> None:
        """Upload the outputs of an input, its summary last, and remove them here.

        An object appears when it is whole; where there is a summary, all the others are there.

        Raises:
            DiskError: the store refuses them.
        """
        folder, address = self.staging / name, f"{self._address}/{name}"
        paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
        paths.sort(key=lambda path: path.name == "summary.json")
        try:
            files = _store(address)
            root = files._strip_protocol(address)
            for path in paths:
                files.put_file(str(path), f"{root}/{path.relative_to(folder).as_posix()}")
        except Exception as error:  # each store's library has errors of its own
            raise DiskError(f"could not upload to {shown_address(address)}: {_reason(error)}") from error
        shutil.rmtree(folder)


def _fetched(protocol: str, path: Path, folder: Path) -> Path:
    """Copy a file from a store into `folder`, and return the copy."""
    address, copy = store_address(protocol, path), folder / path.name
    with _reading(address):
        _store(address).get_file(path.as_posix(), str(copy))
    return copy


def _store(address: str) -> Any:
    """Return fsspec's file system of an address."""
    from fsspec.core import url_to_fs

    return url_to_fs(address)[0]


@contextmanager
def _reading(address: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each store's library has errors of its own, and one that is not installed raises, too
        raise SourceError(f"could not read {shown_address(address)}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return an error as one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.strip().partition("\n")[0] or type(error).__name__
