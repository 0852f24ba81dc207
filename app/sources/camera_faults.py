"""Why a camera could not be opened, which OpenCV does not tell."""

import errno
import os
import struct
import sys
from pathlib import Path

from app.stream_errors import Fault

LINUX_DEVICES = Path("/sys/class/video4linux")
_NODES = Path("/dev")

_REQUEST_BUFFERS = 0xC0145608  # VIDIOC_REQBUFS of linux/videodev2.h, and the struct v4l2_requestbuffers it takes:
_ONE_CAPTURE_BUFFER = struct.pack("5I", 1, 1, 1, 0, 0)  # count, video capture, mmap, capabilities, flags

_REASONS = {
    errno.EBUSY: (Fault.BUSY, "another program holds it"),
    errno.EACCES: (Fault.OTHER, "this user may not read it: add the user to the group 'video'"),
    errno.EPERM: (Fault.OTHER, "this user may not read it: add the user to the group 'video'"),
    errno.ENOENT: (Fault.NOT_FOUND, "no such device"),
    errno.ENODEV: (Fault.NOT_FOUND, "no such device"),
    errno.ENXIO: (Fault.NOT_FOUND, "no such device"),
}


def why_not(number: int) -> tuple[Fault, str]:
    """Return the kind of the failure to open camera `number`, and the reason in a few words.

    Video4Linux lets several programs open a camera, and one of them have its buffers: who asks for one meanwhile is
    told that it is busy. Elsewhere nobody tells.
    """
    if sys.platform != "linux":
        return Fault.NOT_FOUND, "no such device, or another program holds it, or it may not be read"
    if not (LINUX_DEVICES / f"video{number}").exists():
        return Fault.NOT_FOUND, "no such device"
    try:
        _ask_for_a_buffer(_NODES / f"video{number}")
    except OSError as error:
        return _REASONS.get(error.errno or 0, (Fault.NOT_FOUND, "it gives no pictures"))
    return Fault.NOT_FOUND, "it gives no pictures"


def _ask_for_a_buffer(node: Path) -> None:
    """Raise OSError if a camera does not hand out a buffer; closing it gives the buffer back."""
    import fcntl  # there is none on Windows

    descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, _REQUEST_BUFFERS, bytearray(_ONE_CAPTURE_BUFFER))
    finally:
        os.close(descriptor)
