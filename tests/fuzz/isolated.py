"""One try in a process of its own, so that crashes, endless loops and memory can be told."""

import faulthandler
import math
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.fuzz.target import Target, bad_message

Kind = Literal["accepted", "refused", "traceback", "wrong", "message", "crash", "time", "memory"]
FAILURES: tuple[Kind, ...] = ("traceback", "wrong", "message", "crash", "time", "memory")
WAITING = 10  # times its limit of processor time is what a try may take on the clock, as the machine may be busy
HARD_LIMIT_MB = 6000  # what a try may take before the system refuses it more


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reader took one input.

    Attributes:
        kind: accepted, refused in one line, or how it failed.
        detail: the error's type and message.
        peak_mb: the most memory that the process had, beyond what it began with.
        seconds: how long it took, of the processor's time.
    """

    kind: Kind
    detail: str
    peak_mb: float
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether the program must not do this."""
        return self.kind in FAILURES


def try_apart(target: Target, value: Any) -> Outcome:
    """Give `value` to the reader in a forked process, and return what came of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(target, value, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        resident_kb, kind, detail = (*pipe.read().decode("utf-8", "replace").split("\n", 2), "", "")[:3]
    _, status, usage = os.wait4(child, 0)
    peak_mb = max(usage.ru_maxrss - int(resident_kb or 0), 0) / 1024
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        kind, detail = ("time" if number in (signal.SIGALRM, signal.SIGXCPU) else "crash"), signal.Signals(number).name
    elif kind not in ("accepted", "refused", *FAILURES):
        kind, detail = "crash", f"exit code {os.waitstatus_to_exitcode(status)}"
    elif peak_mb > target.max_mb and kind in ("accepted", "refused"):
        kind, detail = "memory", f"{peak_mb:.0f} MB"
    return Outcome(kind, detail, peak_mb, usage.ru_utime + usage.ru_stime)  # type: ignore[arg-type]


def _run_child(target: Target, value: Any, writing: int) -> None:
    """Write the memory at the start and the outcome to the pipe; end the process without a parent's exit handlers."""
    resident_kb, virtual_bytes = _memory_of_this_process()
    os.write(writing, f"{resident_kb}\n".encode())
    limit = virtual_bytes + HARD_LIMIT_MB * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    seconds = math.ceil(target.timeout_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.alarm(WAITING * seconds)
    faulthandler.disable()  # the parent tells of crashes
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    try:
        said = _attempt(target, value)
        os.write(writing, said.encode("utf-8", "backslashreplace")[:60_000])
    finally:
        os._exit(0)


def _attempt(target: Target, value: Any) -> str:
    try:
        target.read(value)
        return "accepted\n"
    except target.errors as error:
        complaint = bad_message(str(error))
        return f"message\n{complaint}: {error!r}" if complaint else f"refused\n{error}"
    except MemoryError as error:
        return f"memory\n{error!r}"
    except AssertionError as error:
        return f"wrong\n{error}"
    except BaseException as error:
        return f"traceback\n{type(error).__name__}: {error}"


def _memory_of_this_process() -> tuple[int, int]:
    """Return the resident memory in KiB and the address space in bytes."""
    pages = [int(number) for number in Path("/proc/self/statm").read_text().split()[:2]]
    return pages[1] * resource.getpagesize() // 1024, pages[0] * resource.getpagesize()
