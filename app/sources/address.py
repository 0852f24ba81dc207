"""Addresses of network streams, and how they are shown without their passwords."""

import re

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_USER = re.compile(r"(?<=://)(?:[^/?#]*@|[^/?#@:]*:(?!\d+(?:[/?#]|$)).*@)")
_SECRET = re.compile(r"(?<=[?&])((?:[^=&#]*(?:pass|pwd|token|secret|key|auth|sig)[^=&#]*)=)[^&#]*", re.IGNORECASE)


def scheme_of(spec: str) -> str | None:
    """Return the scheme of an address such as `rtsp://host/path`, in lower case; None of anything else."""
    found = _SCHEME.match(spec)
    return found[0].removesuffix("://").lower() if found else None


def redact(address: str) -> str:
    """Return `address` with user and password, and the values of telling query names, as `***`.

    A password that holds a bare `/` is hidden too, although no such address can be opened.
    """
    return _SECRET.sub(r"\1***", _USER.sub("***@", address))
