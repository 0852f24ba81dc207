"""Which requests come from the page itself: by the name they ask for, and by the site that made the browser send them.

Sources: https://html.spec.whatwg.org/#origin, https://www.w3.org/TR/fetch-metadata/.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import Scope

THIS_MACHINE = "127.0.0.1,::1"
DEFAULT_PORTS = {"http": 80, "https": 443}
CLOSED_TO_LINKS = ("/gradio_api/", "/logout")
"""What no link of another site may open: it would act, and not only show."""
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?", re.IGNORECASE)
_ORIGIN = re.compile(r"(https?)://(.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: the code of the answer, and a sentence."""

    code: int
    sentence: str


@dataclass(frozen=True, slots=True)
class PageNames:
    """Under which names the page may be asked for.

    Attributes:
        listens_to: the `--host` it is served on.
        public: names with or without a port, as `--public-host` gives them.
    """

    listens_to: str
    public: frozenset[str] = frozenset()

    def refusal(self, scope: "Scope", headers: "Headers") -> Refusal | None:
        """Return why a request must not be answered; None where it comes from the page itself, or from no browser."""
        hosts = headers.getlist("host")
        host = split_host(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return Refusal(400, "The request names no host, or none that can be read.")
        if not self.answers_to(host[0]):
            return Refusal(
                400, f"This page does not answer to the name {host[0]}: its operator allows it with --public-host."
            )
        scheme = scope["scheme"].replace("ws", "http")
        if not all(self._is_own(origin, scheme, host) for origin in headers.getlist("origin")):
            return Refusal(403, "Pages of other sites may not use this page.")
        if not all(site in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
            return None if is_link(scope, headers) else Refusal(403, "Pages of other sites may not use this page.")
        return None

    def answers_to(self, name: str) -> bool:
        """Whether a host's name is one of the page's.

        Any site can have its own name resolved to this machine, and its visitors' browsers would then let it read this
        page ("DNS rebinding"). Addresses in numbers cannot be used in that way, nor can `localhost`.
        """
        if name == self.listens_to.strip("[]").lower() or is_loopback(name):
            return True
        if any(name == split[0] for split in map(split_host, self.public) if split is not None):
            return True
        return not is_loopback(self.listens_to) and is_ip_address(name)

    def _is_own(self, origin: str, scheme: str, host: tuple[str, int | None]) -> bool:
        parts = _ORIGIN.fullmatch(origin.strip())
        split = split_host(parts[2]) if parts is not None else None
        if parts is None or split is None:
            return False
        default = DEFAULT_PORTS[parts[1].lower()]
        name, port = split[0], split[1] or default
        if (parts[1].lower(), name, port) == (scheme, host[0], host[1] or DEFAULT_PORTS[scheme]):
            return True
        return any((name, port) == (own, given or default) for own, given in _split_all(self.public))


def is_link(scope: "Scope", headers: "Headers") -> bool:
    """Whether a request only shows a page in a window of its own, as when somebody follows a link."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and not scope["path"].startswith(CLOSED_TO_LINKS)
        and headers.getlist("sec-fetch-mode") == ["navigate"]
        and headers.getlist("sec-fetch-dest") == ["document"]
    )


def split_host(text: str) -> tuple[str, int | None] | None:
    """Return name and port of `host`, `host:port` or `[::1]:port`, in lower case and without brackets.

    None is returned for anything else, and the port is None where none is given.
    """
    found = _HOST.fullmatch(text.strip())
    if found is None or (found[2] is not None and not 0 < int(found[2]) < 65536):
        return None
    name = found[1].lower()
    if name.startswith("[") and not is_ip_address(name):
        return None
    return name.strip("[]"), int(found[2]) if found[2] else None


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_ip_address(host: str) -> bool:
    """Whether a host is named by its number."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _split_all(names: Iterable[str]) -> list[tuple[str, int | None]]:
    return [split for split in map(split_host, names) if split is not None]
