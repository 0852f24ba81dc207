"""Weights by name: which files hold them, and fetching the published ones once.

Published files come from OpenMMLab's server and are kept in the user's cache. `SOLOV2_ZOO_URL` names a mirror,
`SOLOV2_CACHE` another folder. A file put into that folder by hand is as good as a downloaded one.

A download continues where the last one broke off, and a server that falls silent is given up. That is why it is written
here: `torch.hub.download_url_to_file` does neither, and pooch starts again and needs the whole SHA-256, of which the
names of the published files have eight characters.
"""

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import platformdirs
from filelock import FileLock
from tqdm import tqdm

from solov2.errors import DownloadError
from solov2.variants import find_variant

OPENMMLAB_URL = "https://download.openmmlab.com/mmdetection/v2.0/solov2"
TIMEOUT_SECONDS = 30  # to connect, and between two arrivals of data
_CHUNK_BYTES = 1 << 18
_EMBEDDED_FOLDER = Path(__file__).parent.parent / "weights"
_PUBLISHED_NAME = re.compile(r"(?P<folder>.+)_\d{8}_\d{6}-(?P<sha256>[0-9a-f]{8})\.pth")


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """A file on OpenMMLab's server.

    Attributes:
        variant: our name of the variant.
        file_name: on the server and in the cache.
        url: where it is.
        path: where it is kept, once fetched.
        sha256_start: the first characters of its SHA-256.
    """

    variant: str
    file_name: str
    url: str
    path: Path
    sha256_start: str


def published_weights(variant: str) -> PublishedWeights | None:
    """Return the published file of `variant`, or None where none was published.

    Raises:
        UnknownNameError: there is no such variant.
    """
    file_name = find_variant(variant).weights_file or ""
    parts = _PUBLISHED_NAME.fullmatch(file_name)
    if not parts:
        return None
    server = os.environ.get("SOLOV2_ZOO_URL", OPENMMLAB_URL).rstrip("/")
    cache = Path(os.environ.get("SOLOV2_CACHE") or platformdirs.user_cache_dir("solov2"))
    return PublishedWeights(
        variant, file_name, f"{server}/{parts['folder']}/{file_name}", cache / file_name, parts["sha256"]
    )


def weights_path(variant: str) -> Path:
    """Return the file with the weights of `variant`: the embedded one, or the published one, downloaded when needed.

    Several processes may ask at once: one downloads, the others wait.

    Raises:
        DownloadError: it could not be fetched (the message says how to put it in place by hand), is not the published
            file, or none was published.
        UnknownNameError: there is no such variant.
    """
    published = published_weights(variant)
    if published is None:
        return _embedded_path(variant)
    try:
        if not published.path.exists():
            _download(published)
        if not _is_genuine(published, published.path):
            raise DownloadError(
                f"{published.path} is not the published file: its SHA-256 does not start with "
                f"{published.sha256_start}. Delete it, and it is downloaded again."
            )
    except (OSError, HTTPException, ValueError) as error:
        raise DownloadError(
            f"could not download {published.url}: {_cause(error)}. Try again, or put the file in place by hand: "
            f'curl -L -o "{published.path}" "{published.url}"'
        ) from error
    return published.path


def _embedded_path(variant: str) -> Path:
    file_name = find_variant(variant).weights_file
    if file_name is None:
        raise DownloadError(f"no weights were published for {variant}. Train it, or give a weights file.")
    return _EMBEDDED_FOLDER / file_name


def _download(published: PublishedWeights) -> None:
    published.path.parent.mkdir(parents=True, exist_ok=True)
    part = published.path.with_name(f"{published.file_name}.part")
    with FileLock(published.path.with_name(f"{published.file_name}.lock")):
        if published.path.exists():  # another process was faster
            return
        _fetch_or_restart(published.url, part, published.file_name)
        if not _is_genuine(published, part):
            part.unlink()
            raise DownloadError(
                f"{published.url} sent another file than the published one: its SHA-256 does not start with "
                f"{published.sha256_start}. It was discarded. Try again, or name another server in SOLOV2_ZOO_URL."
            )
        part.replace(published.path)


def _fetch_or_restart(url: str, part: Path, title: str) -> None:
    try:
        _fetch(url, part, title)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # it is as long as the server's file, or longer
        _fetch(url, part, title)


def _fetch(url: str, part: Path, title: str) -> None:
    """Download `url` to `part`, after what is already there if the server can continue."""
    present = part.stat().st_size if part.exists() else 0
    with _open(url, present) as response:
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {present}-")
        start = present if continues else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            part.open("ab" if continues else "wb") as file,
            tqdm(total=total, initial=start, desc=title, unit="B", unit_scale=True) as bar,
        ):
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
    received = part.stat().st_size
    if total is not None and received < total:
        raise ConnectionError(f"the connection ended after {received} of {total} bytes")


def _open(url: str, start: int) -> HTTPResponse:
    """Ask for the bytes of `url` from `start` on."""
    headers = {"User-Agent": "solov2-live"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()
        raise
    return response


def _is_genuine(published: PublishedWeights, path: Path) -> bool:
    """Compare the hash of `path` with the published one, unless that was done since the file was last written."""
    stat = path.stat()
    stamp = f"{stat.st_size} {stat.st_mtime_ns}"
    record = published.path.with_name(f"{published.file_name}.verified")
    if record.exists() and record.read_text() == stamp:
        return True
    if not sha256_of(path).startswith(published.sha256_start):
        return False
    with contextlib.suppress(OSError):  # in a folder that cannot be written it is compared each time
        record.write_text(stamp)
    return True


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cause(error: Exception) -> str:
    match error:
        case HTTPError():
            return f"the server answered {error.code} {error.reason}"
        case TimeoutError() | URLError(reason=TimeoutError()):
            return f"nothing arrived for {TIMEOUT_SECONDS} s"
        case URLError(reason=OSError() as inner):
            return inner.strerror or str(inner)
        case OSError(strerror=str() as reason):
            return reason
        case _:
            return str(error) or type(error).__name__
