"""How sources are opened, where there is a choice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What a user may ask of cameras, streams and files.

    Attributes:
        uses_gpu: videos and streams are decoded on the NVIDIA device where that works.
        camera_wh: (width, height) asked of a camera; None leaves it to the camera.
        camera_fps: frames per second asked of a camera.
        camera_format: four letters that name the format asked of a camera, such as MJPG.
        rtsp_transport: "tcp" or "udp".
        with_sound: the sound of a live stream is decoded, too, for a recording.
    """

    uses_gpu: bool = False
    camera_wh: tuple[int, int] | None = None
    camera_fps: float | None = None
    camera_format: str | None = None
    rtsp_transport: str = "tcp"
    with_sound: bool = False


DEFAULTS = SourceSettings()
