"""What pages of other sites can do to the page, tried in a real browser: 13 actions from 3 foreign origins.

    python -m tests.foreign_site                 the page of this working tree, three times: as it is, with --host
                                                 0.0.0.0, and with --login
    python -m tests.foreign_site --tree FOLDER   the page of another one, to compare

The page runs in a process of its own. An action counts as a failure of the page if the foreign site read something,
showed something, or had something done.
"""

import argparse
import http.server
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import connect

from tests.browser import chromium, free_port
from tests.waiting import wait_until

EVIL = "evil.example"
LOGIN = "anna:word"
BINDINGS: dict[str, list[str]] = {
    "default": [],
    "--host 0.0.0.0": ["--host", "0.0.0.0"],
    "--login": ["--login", LOGIN],
}
HELPERS = """
const seconds = (count, value) => new Promise((done) => setTimeout(() => done(value), 1000 * count));
const within = (promise) => Promise.race([promise.catch(() => false), seconds(4, false)]);
const reads = (path, options = {}) => within(fetch(page + path, { credentials: "include", ...options })
    .then(async (answer) => answer.ok && (await answer.body.getReader().read()).value?.length > 0));
const shows = (tag, attributes) => within(new Promise((done) => {
    const one = Object.assign(document.createElement(tag), attributes);
    one.onload = one.onloadeddata = () => done(true);
    one.onerror = () => done(false);
    document.body.append(one);
    const look = setInterval(() => one.naturalWidth > 0 && done(!clearInterval(look)), 100); // a stream never ends
}));
"""
CHANGE = """JSON.stringify({ data: [wanted, -1].slice(0, change.inputs), fn_index: change.number,
    session_hash: "foreign" })"""
ACTIONS = {
    "read a snapshot": "reads('live/snapshot.png')",
    "read it with X-Forwarded-Host": "reads('live/snapshot.png', { headers: { 'X-Forwarded-Host': location.host } })",
    "read the stream": "reads('live/stream.mjpg')",
    "read the configuration": "reads('config')",
    "show the stream as an image": "shows('img', { src: page + 'live/stream.mjpg' })",
    "show a snapshot as an image": "shows('img', { src: page + 'live/snapshot.png' })",
    "show the page in a frame": "shows('iframe', { src: page })",
    "listen on the socket": """within(new Promise((done) => {
        const socket = new WebSocket(page.replace("http", "ws") + "live/socket?viewer=foreign");
        socket.onmessage = () => done(true);
        socket.onclose = () => done(false);
    }))""",
    "segment a picture": """reads('picture/segment', { method: "POST", body: new Blob([new Uint8Array(bytes)]) })""",
    "upload a file": """within((async () => {
        const form = new FormData();
        form.append("files", new File(["x".repeat(1000)], `foreign-${location.hostname}.mp4`));
        const options = { method: "POST", mode: "no-cors", credentials: "include", body: form };
        await fetch(page + "gradio_api/upload", options);
        return null;
    })())""",
    "change a control by a script": f"""within(fetch(page + "gradio_api/run/predict", {{
        method: "POST", credentials: "include", headers: {{ "Content-Type": "application/json" }}, body: {CHANGE}
    }}).then(() => null))""",
    "change a control by a form": f"""within(fetch(page + "gradio_api/run/predict", {{ method: "POST", mode: "no-cors",
        credentials: "include", headers: {{ "Content-Type": "text/plain" }}, body: {CHANGE} }}).then(() => null))""",
    "reach the page by its own name": """within(fetch(page.replace(/\\/\\/[^:]+/, `//${location.hostname}`) + "config",
        { mode: "no-cors" }).then(() => null))""",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A page that is tried: where it is, where it keeps its files, and who may log in, if anybody must."""

    address: str
    folder: Path
    login: str = ""

    def status(self) -> dict[str, Any]:
        """What the page says about its stream to a program that is no browser."""
        headers = {"Cookie": self.cookies()} if self.login else {}
        address = self.address.replace("http", "ws") + "live/socket?viewer=looker-on"
        with connect(address, additional_headers=headers, open_timeout=60) as watching:
            while True:
                message = watching.recv(timeout=60)
                if isinstance(message, str) and "status" in message:
                    return dict(json.loads(message)["status"])

    def cookies(self) -> str:
        user, _, word = self.login.partition(":")
        form = f"username={user}&password={word}".encode()
        with urllib.request.urlopen(f"{self.address}login", form, timeout=60) as answer:
            return "; ".join(line.split(";")[0] for line in answer.headers.get_all("set-cookie"))


@contextmanager
def page_of(tree: Path, binding: str) -> Iterator[Served]:
    """Serve the page of a working tree in a process of its own until the block ends."""
    options = BINDINGS[binding]
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        command = [sys.executable, "-m", "app.ui", "--port", str(port), "--model", "nano", *options]
        process = subprocess.Popen(
            command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: is_listening(port) or process.poll() is not None, seconds=120)
            yield Served(address_of(binding, port), Path(folder), LOGIN if "--login" in options else "")
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def empty_site() -> Iterator[int]:
    """Serve an empty document on every name of this machine; yield its port."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><body></body>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def is_listening(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def address_of(binding: str, port: int) -> str:
    """Where a browser finds a page: by an address of this machine's network where other machines may come."""
    return f"http://{own_address() if '0.0.0.0' in binding else '127.0.0.1'}:{port}/"


def own_address() -> str:
    """An address of this machine by which others reach it; the loopback's where it has no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(one.getsockname()[0])


def try_all(page: Served) -> dict[tuple[str, str], bool]:
    """Try every action from every foreign origin; return by (origin, action) whether the page failed."""
    host = urlsplit(page.address).hostname
    with (
        empty_site() as port,
        chromium(more_flags=[f"--host-resolver-rules=MAP {EVIL} {host}"]) as browser,
    ):
        context = browser.new_context()
        own = context.new_page()
        change = use_as_owner(own, page)
        tried: dict[tuple[str, str], bool] = {}
        for origin in ("127.0.0.1", "localhost", EVIL):
            tab = context.new_page()
            tab.goto(f"http://{origin}:{port}/")
            attempt = Attempt(tab, origin, page, change)
            tried |= {(origin, action): attempt.succeeds(action) for action in ACTIONS}
            tab.close()
        return tried


def use_as_owner(own: Any, page: Served) -> dict[str, int]:
    """Log in where that is asked for and start the built-in clip; return the event that changes a control."""
    own.set_default_timeout(120_000)
    own.goto(page.address)
    if page.login:
        user, _, word = page.login.partition(":")
        own.get_by_label("username").fill(user)
        own.get_by_label("password").fill(word)
        own.get_by_role("button", name="Login").click()
    own.wait_for_function("window.solov2?.status.connected")
    own.get_by_role("button", name=re.compile("^Start")).first.click()
    own.wait_for_function("window.solov2.painted >= 3")
    find = """() => { const labels = ["Confidence", "Least score"]; // the latter in older trees
        const score = gradio_config.components.find((one) => labels.includes(one.props.label)).id;
        const event = gradio_config.dependencies.find((one) => one.targets.some(([id]) => id === score));
        return { number: event.id, inputs: event.inputs.length }; }"""
    event: dict[str, int] = own.evaluate(find)
    own.get_by_role("button", name="Pause").click()  # the last picture stays, and the processor is free for the tries
    own.wait_for_function("window.solov2.status.state === 'paused'")
    own.goto("about:blank")
    return event


class Attempt:
    """What a foreign site tries in the browser of somebody who uses the page."""

    def __init__(self, tab: Any, origin: str, page: Served, change: dict[str, int]) -> None:
        """Try nothing yet.

        Args:
            tab: shows a document of the foreign site, in the browser of somebody who uses the page.
            origin: the host's name of that site.
            page: what is tried on.
            change: the number of the event by which the score is set, and of its inputs.
        """
        self._tab, self._origin, self._page, self._change = tab, origin, page, change
        self._picture = list((Path(__file__).parent.parent / "docs" / "page-picture.webp").read_bytes())

    def succeeds(self, action: str) -> bool:
        """Whether the foreign site gets its way with one action."""
        wanted = secrets.randbelow(80) / 1000 + 0.9  # another score for each try
        given = [self._page.address, self._change, wanted, self._picture]
        script = f"async ([page, change, wanted, bytes]) => {{ {HELPERS} return {ACTIONS[action]}; }}"
        is_told = self._tab.evaluate(script, given)
        if action == "upload a file":
            return any(self._page.folder.rglob(f"foreign-{self._origin}*"))
        if action.startswith("change"):
            time.sleep(0.3)
            return bool(abs(self._page.status()["controls"]["score_threshold"] - wanted) < 1e-6)
        if action == "show the page in a frame":
            return any(frame.query_selector("gradio-app, .gradio-container, form") for frame in self._tab.frames[1:])
        if action == "reach the page by its own name":
            return answers_as(self._page, self._origin)
        return bool(is_told)


def answers_as(page: Served, name: str) -> bool:
    """Whether the page answers to a site whose own name leads here; `localhost` and numbers cannot be such names."""
    if name != EVIL:
        return False
    headers = {"Host": f"{name}:{page.address.rsplit(':', 1)[1].strip('/')}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(page.address, headers=headers), timeout=60) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parent.parent, help="whose page is tried")
    tree = parser.parse_args().tree.resolve()
    failures = 0
    for binding in BINDINGS:
        with page_of(tree, binding) as page:
            tried = try_all(page)
        failed = [f"{action} from {origin}" for (origin, action), is_failure in tried.items() if is_failure]
        failures += len(failed)
        print(f"{binding}: {len(tried)} tries, {len(failed)} failures", flush=True)
        print("".join(f"  {line}\n" for line in failed), end="", flush=True)
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
