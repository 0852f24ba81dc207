"""The zip files that `torch.save` writes: checked by what their directory declares, before any entry is read."""

import os
import struct
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import IO

from solov2.errors import CheckpointError

ZIP_START = b"PK\x03\x04"
MAX_ENTRIES = 50_000
MAX_PICKLE_BYTES = 256 << 20  # training logs of OpenMMLab's can have 100 MB
_END = struct.Struct("<4s6xHLLH")  # of the directory: entries, its bytes, its offset, length of the comment
_IN_ZIP64 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TorchZip:
    """What is needed of the file to check it.

    Attributes:
        pickle: the entry that describes the tensors.
        storage_bytes: how many bytes the values have, by their key.
    """

    pickle: BytesIO
    storage_bytes: dict[str, int]


def open_torch_zip(file: IO[bytes]) -> TorchZip:
    """Return the pickle of a file and what the file holds beside it.

    Raises:
        CheckpointError: `torch.save` does not write such files; names what it does not do.
        zipfile.BadZipFile: it is no zip file, or its directory contradicts itself.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        folders = [entry.filename.removesuffix("/data.pkl") for entry in entries if _is_pickle(entry)]
        if any(entry.filename.endswith("/constants.pkl") for entry in entries):
            raise CheckpointError(f"{file.name} is a TorchScript program, need weights written by torch.save.")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise CheckpointError(f"{file.name} is compressed or encrypted, need weights as torch.save writes them.")
        names = {entry.filename.lower() for entry in entries}
        declared = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_ENTRIES or len(names) < len(entries) or declared > size:
            raise CheckpointError(
                f"{file.name} declares {len(entries):,} entries of {declared:,} bytes under {len(names):,} names in a "
                f"file of {size:,} bytes. torch.save did not write it; do not trust this file."
            )
        if len(folders) != 1 or _directory_offset(file) not in (archive.start_dir, _IN_ZIP64):
            raise zipfile.BadZipFile("not one data.pkl, or not one directory")
        pickle = archive.getinfo(f"{folders[0]}/data.pkl")
        if pickle.file_size > MAX_PICKLE_BYTES:
            raise CheckpointError(
                f"{file.name} describes its tensors by {pickle.file_size:,} bytes, at most {MAX_PICKLE_BYTES:,} are "
                "read. Save the model's state_dict() alone."
            )
        start = f"{folders[0]}/data/"
        sizes = {entry.filename.removeprefix(start): entry.file_size for entry in entries}
        return TorchZip(BytesIO(archive.read(pickle)), sizes)


def _is_pickle(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.lower().endswith("/data.pkl")


def _directory_offset(file: IO[bytes]) -> int:
    """Return where the last bytes of a file say that the directory is; torch looks there alone."""
    file.seek(-_END.size, os.SEEK_END)
    signature, _, _, offset, comment = _END.unpack(file.read())
    if signature != b"PK\x05\x06" or comment:
        raise zipfile.BadZipFile("something follows the directory")
    return int(offset)
