"""A lock on an output, so that two runs never write the same file or folder."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from solov2.errors import SOLOv2Error
from solov2.files import writing


@contextmanager
def locked(*outputs: Path) -> Iterator[None]:
    """Hold every output, a file or a folder, until the end of the block; none if one is held already.

    The lock is the operating system's, on a hidden file beside the output, so a process that is killed holds nothing.
    It works between hosts where their network file system's locks do.

    Raises:
        SOLOv2Error: another run holds one of them (the message names its process, host and start), or the folder of
            one cannot be written.
    """
    _allow_open_files(len(outputs))
    with ExitStack() as held:
        for output in outputs:
            held.enter_context(_locked(output))
        yield


def lock_file(output: Path) -> Path:
    """Return the file that is locked while `output` is being written; where that is a link, beside its target."""
    target = Path(os.path.realpath(output))
    return target.with_name(f".{target.name}.lock")


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    path = lock_file(output)
    lock = FileLock(path, timeout=0)
    with writing(output):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise SOLOv2Error(
                f"another run is writing {output}: {_holder(path)}. Wait until it has ended, or name another output"
            ) from None
    try:
        with suppress(OSError):  # the message of a second run says less then
            path.write_text(json.dumps(_own_process()), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):  # where an open file cannot be removed
            path.unlink()
        lock.release()


def _own_process() -> dict[str, object]:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_bytes())
        return f"process {int(holder['pid'])} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"it holds {path}"


def _allow_open_files(count: int) -> None:
    """Let this process open so many files more than most do, as far as the system allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
