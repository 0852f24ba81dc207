"""Addresses of network streams, and how they are shown without their passwords."""

import re

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_AUTHORITY = re.compile(
    r"(?:[^/?#\\@]*@)?(?P<host>(?:\[[0-9a-f:.]+\]|[\w.-]+)(?::\d{1,5})?)(?P<rest>[/?#].*)?", re.I | re.S
)
_HIDDEN = "…"


def scheme_of(spec: str) -> str | None:
    """Return the scheme of an address such as `rtsp://host/path`, in lower case; None of anything else."""
    found = _SCHEME.match(spec)
    return found[0].removesuffix("://").lower() if found else None


def redact(address: str) -> str:
    """Return of an address its scheme, host and port alone, such as `rtsp://host:554/…`; anything else as it is.

    User names, paths and queries are left out: cameras take passwords in each of them, under names that nobody can
    list. Where a later `@` leaves it open what the host is, the host is left out too.
    """
    text = address.strip()
    scheme, is_address, rest = text.partition("://")
    if not is_address:
        return address
    if not _SCHEME.match(text):
        return _HIDDEN
    found = _AUTHORITY.fullmatch(rest)
    if found is None or "@" in (found["rest"] or ""):
        return f"{scheme}://{_HIDDEN}"
    return f"{scheme}://{found['host']}/{_HIDDEN}" if (found["rest"] or "/") != "/" else f"{scheme}://{found['host']}"
