"""Weights by name: which files hold them, fetching the published ones once, and `python -m solov2.zoo`.

Published files come from OpenMMLab's server and are kept in the user's cache. `SOLOV2_ZOO_URL` names a mirror,
`SOLOV2_CACHE` another folder. A file put into that folder by hand is as good as a downloaded one.
"""

import argparse
import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import platformdirs
import torch
from filelock import FileLock
from tqdm import tqdm

from solov2.checkpoint import Checkpoint, fit_state_dict, read_checkpoint, recognise_variant, save_checkpoint
from solov2.cli import CommandParser, add_debug_flag, run_command
from solov2.config import VARIANTS, find_variant
from solov2.errors import CheckpointError, DownloadError
from solov2.model import SOLOv2

OPENMMLAB_URL = "https://download.openmmlab.com/mmdetection/v2.0/solov2"
TIMEOUT_SECONDS = 30  # to connect, and between two arrivals of data
_CHUNK_BYTES = 1 << 18
_EMBEDDED_FOLDER = Path(__file__).parent / "weights"
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
                f"{published.sha256_start}. It was thrown away. Try again, or name another server in SOLOV2_ZOO_URL."
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


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m solov2.zoo", description="The weights that this project knows.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_debug_flag(commands.add_parser("list", help="the variants, and which weights are here"))
    download = commands.add_parser("download", help="fetch the published weights of a variant, print their path")
    download.add_argument("variant", help=f"one of {', '.join(VARIANTS)}")
    info = commands.add_parser("info", help="what a weights file holds")
    info.add_argument("file", type=Path)
    convert = commands.add_parser("convert", help="write the weights of any readable file as safetensors")
    convert.add_argument("file", type=Path)
    convert.add_argument("out", type=Path, help="ends in .safetensors")
    convert.add_argument("--classes", help="comma-separated class names, where the file does not say them")
    for command in (download, info, convert):
        add_debug_flag(command)
    return parser


def _list(_options: argparse.Namespace) -> int:
    print(f"{'name':<15}{'backbone':<19}{'mask AP':<9}{'test size':<12}weights")
    for name, row in VARIANTS.items():
        published = published_weights(name)
        if published is None:
            state = "embedded" if row.weights_file else "none published"
        else:
            state = f"cached: {published.path}" if published.path.exists() else "not downloaded"
        mask_ap = "-" if row.mask_ap is None else f"{row.mask_ap:.1f}"
        print(f"{name:<15}{row.backbone:<19}{mask_ap:<9}{f'{row.long_px} x {row.short_px}':<12}{state}")
    return 0


def _print_path(options: argparse.Namespace) -> int:
    print(weights_path(options.variant))
    return 0


def _info(options: argparse.Namespace) -> int:
    checkpoint = read_checkpoint(options.file)
    tensors = checkpoint.state_dict
    numbers = sum(tensor.numel() for name, tensor in tensors.items() if name.rpartition(".")[2] in ("weight", "bias"))
    names = checkpoint.class_names
    rows = {
        "format": checkpoint.source,
        "variant": checkpoint.variant or recognise_variant(tensors) or "unknown",
        "classes": f"{len(names)}: {', '.join(names)}" if names else "not said",
        "tensors": f"{len(tensors)}, with {numbers / 1e6:.1f} M parameters",
        "left out": ", ".join(checkpoint.left_out) or "nothing",
        "SHA-256": sha256_of(options.file),
        **checkpoint.metadata,
    }
    for title, value in rows.items():
        print(f"{title:<18}{value}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    if options.out.suffix != ".safetensors":
        raise CheckpointError(f"the output must end in .safetensors, got {options.out}")
    checkpoint = read_checkpoint(options.file)
    variant = checkpoint.variant or recognise_variant(checkpoint.state_dict)
    if variant is None:
        raise CheckpointError(f"{options.file} holds no variant that is known here. Known: {', '.join(VARIANTS)}")
    class_names = _class_names(checkpoint, variant, options)
    with torch.device("meta"):
        model = SOLOv2(VARIANTS[variant], class_names)
    weights = fit_state_dict(checkpoint.state_dict, model)
    save_checkpoint(options.out, weights, variant, class_names, checkpoint.metadata)
    written = read_checkpoint(options.out).state_dict
    if written.keys() != weights.keys() or not all(torch.equal(written[name], weights[name]) for name in weights):
        raise CheckpointError(f"{options.out} does not read back as it was written. Check the disk.")
    print(f"{options.out}: {variant}, {len(class_names)} classes")
    return 0


def _class_names(checkpoint: Checkpoint, variant: str, options: argparse.Namespace) -> tuple[str, ...]:
    if options.classes:
        return tuple(options.classes.split(","))
    if checkpoint.class_names:
        return checkpoint.class_names
    row = VARIANTS[variant]
    count = len(checkpoint.state_dict["mask_head.conv_cls.bias"])
    if count != len(row.class_names):
        raise CheckpointError(f"{options.file} does not name its {count} classes. Name them with --classes A,B,...")
    return row.class_names


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m solov2.zoo` and return its exit code."""
    commands = {"list": _list, "download": _print_path, "info": _info, "convert": _convert}
    return run_command(_parser(), lambda options: commands[options.command](options), argv)


if __name__ == "__main__":
    sys.exit(main())
