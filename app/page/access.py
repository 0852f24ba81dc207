"""What visitors of the page may reach: the operator says which folders, addresses and cameras."""

import fnmatch
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.page.origin import is_ip_address, split_host
from app.sources import redact
from app.sources.video import VIDEO_SUFFIXES
from app.stream_errors import SourceError
from solov2.files import PICTURE_SUFFIXES

STREAM_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
MAX_LISTED = 200
MAX_SHOWN = 200  # characters of a wrong name in a message
MAX_ADDRESS = 2000  # characters


@dataclass(frozen=True, slots=True)
class Access:
    """What may be streamed besides the built-in clip and the visitor's own camera.

    Attributes:
        folders: only files in these, at any depth, after links are followed.
        addresses: only hosts that fit one of these patterns, such as `192.168.1.*` or `*.example.org`, in which a `*`
            stands for one part between dots; `*` alone fits all.
        cameras: whether the cameras of the machine may be opened.
    """

    folders: tuple[Path, ...] = ()
    addresses: tuple[str, ...] = ()
    cameras: bool = False

    @property
    def reaches_all_addresses(self) -> bool:
        """Whether no address is refused."""
        return "*" in self.addresses

    def files(self) -> list[str]:
        """Return the videos and pictures that lie directly in the folders, a few hundred at most."""
        found = [
            str(path)
            for folder in self.folders
            for path in sorted(folder.iterdir() if folder.is_dir() else ())
            if path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES and path.is_file()
        ]
        return found[:MAX_LISTED]

    def check_file(self, text: str) -> str:
        """Return the path of the file that `text` names. A folder is none: links in it may lead anywhere.

        Raises:
            SourceError: it lies outside the folders, or there is no such file. Which of both is not told.
        """
        if path := self._inside(text):
            return path
        allowed = ", ".join(map(str, self.folders)) or "none; the operator adds one with --folder"
        shown = text if text and len(text) <= MAX_SHOWN and text.isprintable() else "that name"
        raise SourceError(f"no such file in the folders open to this page: {shown}. Folders: {allowed}")

    def _inside(self, text: str) -> str | None:
        try:
            path = Path(os.path.realpath(text))
            is_inside = any(path.is_relative_to(os.path.realpath(folder)) for folder in self.folders)
            return str(path) if text and is_inside and path.is_file() else None
        except (OSError, ValueError):  # too long, or with a NUL
            return None

    def check_address(self, text: str) -> str:
        """Return `text`, an address.

        Raises:
            SourceError: it is none, or its host is not among those allowed.
        """
        address = text.strip()
        try:
            parts = urlsplit(address)
            scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
            split = split_host(parts.netloc.rpartition("@")[2])  # whatever else FFmpeg might read another host in
        except ValueError:
            scheme, host, split = "", "", None
        if split is None or split[0] != host or "\\" in address:
            host = ""
        if scheme not in STREAM_SCHEMES or not host:
            shown = redact(address) if "://" in address else "something else" if address else "nothing"
            raise SourceError(f"an address looks like rtsp://host/path or http://host/path, got {shown}")
        if not address.isprintable() or len(address) > MAX_ADDRESS:
            raise SourceError(f"an address has at most {MAX_ADDRESS} characters, all of them printable")
        if not any(fits(host, pattern.lower()) for pattern in self.addresses):
            raise SourceError(f"this page may not reach {host}: its operator allows it with --allow-address {host}")
        return address

    def check_camera(self, text: str) -> int:
        """Return the number of a camera.

        Raises:
            SourceError: it is none, or cameras are not allowed.
        """
        if not self.cameras:
            raise SourceError("this page may not open the server's cameras: its operator allows it with --cameras")
        if not text:
            raise SourceError("no camera was found on the server: type its number, such as 0, if there is one")
        if not re.fullmatch("[0-9]{1,3}", text):  # a longer one would be the name of a folder
            shown = text if len(text) <= MAX_SHOWN and text.isprintable() else "something else"
            raise SourceError(f"a camera is a number such as 0, got {shown}")
        return int(text)


def fits(host: str, pattern: str) -> bool:
    """Whether a pattern of `Access.addresses` fits a host; one of numbers fits addresses alone, and no name."""
    if pattern == "*":
        return True
    parts, wanted = host.split("."), pattern.split(".")
    if len(parts) != len(wanted) or not all(map(fnmatch.fnmatchcase, parts, wanted)):
        return False
    return is_ip_address(host) or (":" not in pattern and re.search("[a-z]", pattern) is not None)
