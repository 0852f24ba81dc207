"""Servers on loopback that answer as no video server should."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket], None]

PAGE = b"<html><head><title>Camera</title></head><body>" + b"<p>Log in</p>" * 300 + b"</body></html>"


@contextmanager
def serving(behave: Behaviour) -> Iterator[int]:
    """Listen, let `behave` treat each connection in a thread of its own, and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                behave(connection)

        def accept() -> None:
            with suppress(OSError):  # the listener was closed
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def stay_silent(connection: socket.socket) -> None:
    """Accept and never answer."""
    while connection.recv(4096):
        pass


def hang_up(connection: socket.socket) -> None:
    """Close the connection after the first request."""
    connection.recv(4096)


def answer(status: str, content_type: str = "text/html", body: bytes = b"", protocol: str = "HTTP/1.1") -> Behaviour:
    """Return what answers every request so."""
    head = f"{protocol} {status}\r\nCSeq: 1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(head.encode() + body)

    return behave


show_page = answer("200 OK", body=PAGE)
