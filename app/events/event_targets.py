"""Which targets there are, and what opens each."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.sources.address import redact, scheme_of
from app.stream_errors import SinkError
from solov2.errors import MissingExtraError

if TYPE_CHECKING:
    from app.events.delivery import Target

STANDARD_OUTPUT = "-"
STANDARD_OUTPUT_DESCRIPTOR = 1
KNOWN = "a file, - (standard output), mqtt://, mqtts://, http:// or https://"
BROKERS, SERVERS = ("mqtt", "mqtts"), ("http", "https")


def check_target(spec: str) -> None:
    """Find mistakes in where events shall go, as far as that can be done without a connection.

    Raises:
        SinkError: it is no target.
    """
    scheme = scheme_of(spec)
    if scheme is None:
        if re.match(r"[a-z]+:", spec, re.IGNORECASE):
            raise SinkError(f"events go to {KNOWN}, got {redact(spec)!r}")
        return
    if scheme not in (*BROKERS, *SERVERS):
        raise SinkError(f"events go to {KNOWN}, got {redact(spec)!r}")
    try:
        has_host = bool(urlsplit(spec).hostname) and urlsplit(spec).port != 0
    except ValueError:
        has_host = False
    if not has_host:
        raise SinkError(f"the address of events must name a host, as in {scheme}://HOST:PORT, got {redact(spec)!r}")


def open_target(spec: str) -> "Target":
    """Open where events shall go, one of `KNOWN`.

    Raises:
        SinkError: there is no such target, or its file cannot be written.
        MissingExtraError: a library of the extra [events] is not installed.
    """
    check_target(spec)
    scheme = scheme_of(spec)
    try:
        if scheme in BROKERS:
            from app.events.mqtt_target import MqttTarget

            return MqttTarget(spec)
        if scheme in SERVERS:
            from app.events.webhook_target import WebhookTarget

            return WebhookTarget(spec)
    except ModuleNotFoundError as error:
        raise MissingExtraError((error.name or "").partition(".")[0], "events") from error
    from app.events.line_target import LineTarget

    if spec == STANDARD_OUTPUT:
        return LineTarget(None, STANDARD_OUTPUT_DESCRIPTOR)
    return LineTarget(Path(spec))
