"""`python -m app.annotate --ray`: real Ray on this machine, its workers and its driver killed in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from app import annotate
from app.annotation.inputs import find_inputs
from app.annotation.job import WantedOutputs
from app.cluster.archive import job_of
from app.cluster.archive_input import ArchiveInput
from app.cluster.chunk_worker import ModelOptions
from app.cluster.identity import program_identity
from app.cluster.pool import WorkerState
from app.cluster.schedule import Schedule
from tests.fake_annotation import use_fake_model
from tests.fake_cluster import open_fake, open_slow
from tests.fake_media import grey, write_video

pytest.importorskip("ray", reason="Ray is not installed. Try: pip install 'solov2-live[ray]'")

from app.cluster import ray_pool
from app.cluster.ray_address import RayError

ROOT = Path(__file__).parent.parent
FRAMES = 25
MODEL = ModelOptions("nano", "cpu", "auto", "eager")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's own


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(FRAMES)])


@pytest.fixture
def expected(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    with monkeypatch.context() as patched:
        use_fake_model(patched)
        assert annotate.main([str(clip), "--track", "--out", str(tmp_path / "plain")]) == 0
    return files(tmp_path / "plain")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_worker_that_is_killed_in_the_middle_changes_no_byte(
    clip: Path, tmp_path: Path, expected: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    options = annotate.build_parser().parse_args([str(clip), "--track", "--out", str(tmp_path / "out")])
    killed: list[int] = []

    def kill_one(inputs: Sequence[ArchiveInput], states: Sequence[WorkerState]) -> None:
        busy = [state for state in states if state.doing.startswith("clip 0")]
        if busy and not killed:
            killed.append(busy[0].pid)
            os.kill(busy[0].pid, signal.SIGKILL)

    with closing(ray_pool.RayPool("local", 2, MODEL, open_slow)) as pool:
        job = job_of(options, tmp_path / "out", WantedOutputs(), pool.ready)
        works = [ArchiveInput(job, one) for one in find_inputs([str(clip)], tmp_path / "out")]
        Schedule(works, job.settings, 7).run(pool, kill_one)
        states = pool.states()
    assert killed
    assert [state.doing for state in states if state.pid == killed[0]] == ["ended"]
    assert sum(state.frames for state in states) == FRAMES
    assert files(tmp_path / "out") == expected
    told = capfd.readouterr()
    assert told.out == ""
    assert f"(process {killed[0]}) ended while it did clip 0" in told.err


def test_a_driver_that_is_killed_and_started_again_changes_no_byte(
    clip: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    arguments = [str(clip), "--track", "--ray", "local", "--ray-workers", "1", "--ray-chunk", "5", "--out"]
    command = [sys.executable, "-m", "tests.fake_archive", *arguments, str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=ROOT)
    chunks = tmp_path / "out/clip/chunks.partial"
    until = time.monotonic() + 120
    while not list(chunks.glob("*.jsonl")):
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < until, "no chunk came"
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = {path.name: path.stat().st_mtime_ns for path in chunks.glob("*.jsonl")}
    assert 0 < len(kept) < 5
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert finished.returncode == 0, finished.stderr
    assert f"{5 - len(kept)} chunks, {FRAMES - 5 * len(kept)} frames" in finished.stdout, "a chunk was done twice"
    assert files(tmp_path / "out") == expected


def test_workers_of_another_version_are_refused_in_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    own = program_identity()
    monkeypatch.setattr(ray_pool, "program_identity", lambda: own | {"torch": "1.0"})
    with pytest.raises(RayError, match=r"^no worker is left"):
        ray_pool.RayPool("local", 1, MODEL, open_fake)
    told = capfd.readouterr()
    assert f"is refused: it has torch {own['torch']}, and this command has 1.0\n" in told.err
    assert told.out == ""


def test_an_address_that_accepts_and_never_answers_is_told_in_time(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cluster.ray_address.ANSWER_SECONDS", 4)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        assert annotate.main([str(clip), "--out", str(tmp_path / "out"), "--ray", address]) == 2
    assert time.monotonic() - began < 20
    told = capsys.readouterr().err
    assert told == (
        f"error: no Ray cluster answers at {address} within 4 seconds. Start one with: ray start --head. "
        "Or use --ray local\n"
    )
