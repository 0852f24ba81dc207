"""Which pictures of a damaged stream can be shown."""

from av.video.frame import VideoFrame


class KeyFrameGate:
    """Lets pictures pass from a key frame on, until one is damaged; those after it refer to it.

    Attributes:
        hidden: how many pictures did not pass.
    """

    def __init__(self) -> None:
        """Wait for the first key frame."""
        self.hidden = 0
        self._is_open = False

    def close(self) -> None:
        """Let nothing pass until the next key frame: something is damaged."""
        self._is_open = False

    def passes(self, picture: VideoFrame) -> bool:
        """Whether `picture` can be shown; called with each decoded picture, in order."""
        if picture.is_corrupt:
            self._is_open = False
        elif picture.key_frame:
            self._is_open = True
        self.hidden += not self._is_open
        return self._is_open
