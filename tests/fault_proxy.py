"""A TCP proxy on loopback between a server and its clients that does to a connection what a bad network does.

    with FaultProxy(camera.port) as proxy:
        source = open_source(f"rtsp://127.0.0.1:{proxy.port}/live")
        proxy.stall()

What flows from the client to the server passes as it is; the faults are in what the server sends.
"""

import random
import selectors
import socket
import threading
import time
from contextlib import suppress

CHUNK_BYTES = 4096
MARKER, HEADER_BYTES = 0x24, 4  # of a packet that RTSP carries within its own connection: "$", channel, length


class FaultProxy:
    """Forwards connections to `target_port`. Its attributes may be changed at any time, from any thread.

    Attributes:
        port: where it listens.
        delay_seconds: before each chunk is passed on.
        bytes_per_second: of one connection; None does not throttle.
        lose_packets: share of the RTP packets inside an RTSP connection that are left out, in [0, 1].
        lose_pictures: share of its pictures that are left out whole, as a server does for a slow viewer, in [0, 1].
        corrupted: share of the chunks (of the RTP packets, inside an RTSP connection) in which a few bytes are changed.
    """

    def __init__(self, target_port: int, seed: int = 0) -> None:
        """Listen; the same `seed` gives the same faults."""
        self.delay_seconds = 0.0
        self.bytes_per_second: float | None = None
        self.lose_packets = 0.0
        self.lose_pictures = 0.0
        self.corrupted = 0.0
        self._target_port = target_port
        self._random = random.Random(seed)
        self._flows = threading.Event()
        self._flows.set()
        self._stalled: list[threading.Event] = []
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._lost_time = b""  # the RTP timestamp of the picture that is left out
        self._passed_time = b""
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="fault proxy", daemon=True).start()

    def stall(self) -> None:
        """Pass nothing on any more on the connections that there are, and keep them open; new ones work."""
        self._flows.clear()
        self._stalled.append(self._flows)
        self._flows = threading.Event()
        self._flows.set()

    def go_on(self) -> None:
        """Let the stalled connections pass on again."""
        for flows in self._stalled:
            flows.set()

    def cut(self) -> None:
        """Close every connection; new ones are accepted."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything; connections are refused from now on."""
        self._closed.set()
        self.go_on()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def __enter__(self) -> "FaultProxy":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="fault proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target_port)) as server:
            with self._lock:
                self._open |= {client, server}
            try:
                self._forward(client, server)
            finally:
                with self._lock:
                    self._open -= {client, server}

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        pending, flows = b"", self._flows
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while not self._closed.is_set():
                for key, _ in selector.select(timeout=0.1):
                    data = (client if key.fileobj is client else server).recv(CHUNK_BYTES)
                    if not data:
                        return
                    if key.fileobj is client:
                        server.sendall(data)
                        continue
                    flows.wait()
                    pending, parts = split(pending + data)
                    client.sendall(b"".join(map(self._spoilt, parts)))
                    time.sleep(self.delay_seconds)
                    if self.bytes_per_second is not None:
                        time.sleep(len(data) / self.bytes_per_second)

    def _spoilt(self, part: bytes) -> bytes:
        """Return what becomes of one packet; answers of an RTSP server stay as they are."""
        is_packet = part[0] == MARKER and part[1] % 2 == 0  # odd channels are reports
        if part.startswith(b"RTSP/") or (part[0] == MARKER and not is_packet):
            return part
        if is_packet and (self._random.random() < self.lose_packets or self._loses_picture_of(part)):
            return b""
        if len(part) < 64 or self._random.random() >= self.corrupted:
            return part
        spoilt = bytearray(part)
        for _ in range(8):
            spoilt[self._random.randrange(24, len(part))] ^= 0xFF
        return bytes(spoilt)

    def _loses_picture_of(self, packet: bytes) -> bool:
        """Whether the picture to which an RTP packet belongs is left out, which its first packet decides."""
        time_of_picture = packet[HEADER_BYTES + 4 : HEADER_BYTES + 8]
        if time_of_picture not in (self._lost_time, self._passed_time):
            if self._random.random() < self.lose_pictures:
                self._lost_time = time_of_picture
            else:
                self._passed_time = time_of_picture
        return time_of_picture == self._lost_time


def split(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the beginning of an RTP packet that is not yet complete, and the parts before it, by packets."""
    parts = []
    while data:
        if data[0] != MARKER:
            end = data.find(b"$", 1) if data.startswith(b"RTSP/") and b"\r\n\r\n$" in data else -1
            cut = data.index(b"\r\n\r\n$") + 4 if end >= 0 else len(data)
            parts.append(data[:cut])
            data = data[cut:]
            continue
        if len(data) < HEADER_BYTES or len(data) < HEADER_BYTES + int.from_bytes(data[2:4], "big"):
            return data, parts
        length = HEADER_BYTES + int.from_bytes(data[2:4], "big")
        parts.append(data[:length])
        data = data[length:]
    return b"", parts
