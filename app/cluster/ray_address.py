"""`--ray local | auto | HOST:PORT | ray://HOST:PORT`: found out within half a minute whether a cluster answers."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec

from app.stream_errors import AppError
from solov2.errors import MissingExtraError, printable

LOCAL = "local"
AUTO = "auto"
CONNECT_SECONDS = 5
ANSWER_SECONDS = 25
_PROBE = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"
_ADVICE = "Start one with: ray start --head. Or use --ray local"
_REFUSED_ADVICE = " If it asks for a token, set RAY_AUTH_MODE=token on both sides"
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a warning of Ray's about its own future
}


class RayError(AppError):
    """A Ray cluster that cannot be used."""


def check_ray(address: str) -> str:
    """Return an address, if it is one and Ray is installed. Nothing is asked yet.

    Raises:
        MissingExtraError: Ray is not installed.
        RayError: it is no address.
    """
    if address not in (LOCAL, AUTO) and _host_and_port(address) is None:
        raise RayError(f"--ray must be local, auto, HOST:PORT or ray://HOST:PORT, got {printable(address)!r}")
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "ray")
    return address


def quiet_ray() -> None:
    """Switch Ray's usage reports off, for this process and those that it starts."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def check_answers(address: str) -> None:
    """Look whether a cluster answers at an address.

    Ray itself tries for minutes, prints what it tries, and ends the process at last. So another process asks first.

    Raises:
        RayError: none answers within `CONNECT_SECONDS` and `ANSWER_SECONDS`, or it is of another version.
    """
    place = _host_and_port(address)
    if place is not None:
        try:
            socket.create_connection(place, CONNECT_SECONDS).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RayError(f"no Ray cluster answers at {address} ({reason}). {_ADVICE}") from None
    command = [sys.executable, "-c", _PROBE, address]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        raise RayError(f"no Ray cluster answers at {address} within {ANSWER_SECONDS} seconds. {_ADVICE}") from None
    if answer.returncode:
        raise RayError(f"the Ray cluster at {address} cannot be used: {_reason(answer.stderr)}.{_REFUSED_ADVICE}")


def _host_and_port(address: str) -> tuple[str, int] | None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    is_address = host and "/" not in host and port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16
    return (host.strip("[]"), int(port)) if is_address else None


def _reason(stderr: str) -> str:
    """Return the exception at the end of a traceback as one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = max((number for number, line in enumerate(lines) if "Error: " in line), default=len(lines) - 1)
    return " ".join(lines[last:])[:300].rstrip(".") or "it gives no reason"
