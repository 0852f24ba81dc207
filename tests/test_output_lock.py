"""Two runs never write one output: the second one says who holds it, and changes nothing."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import formats, webcam
from app.annotation.formats import FORMATS
from solov2 import train
from solov2.errors import SOLOv2Error
from solov2.output_lock import lock_file, locked
from tests.fake_dataset import write_coco
from tests.fake_media import grey, write_video
from tests.fake_recording import recording

ROOT = Path(__file__).parent.parent
HELD = re.compile(rf"another run is writing .+: process {os.getpid()} on .+, since \d{{4}}-\d\d-\d\d .+ Wait until it")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(20)])


def test_a_lock_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    for output in (tmp_path / "new/folder", tmp_path / "file.mp4"):
        with locked(output):
            with pytest.raises(SOLOv2Error, match=HELD), locked(tmp_path / "other", output):
                pass
            with locked(tmp_path / "other"):
                pass
        with locked(output):
            pass
        assert not list(output.parent.glob(".*"))


def test_a_link_and_its_target_are_one_output(tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(tmp_path / "target.mp4")
    with locked(tmp_path / "target.mp4"), pytest.raises(SOLOv2Error, match=HELD), locked(tmp_path / "link.mp4"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid":"x"}', b"\xff"])
def test_a_lock_that_does_not_say_who_holds_it_is_a_lock(tmp_path: Path, content: bytes) -> None:
    with locked(tmp_path / "out"):
        lock_file(tmp_path / "out").write_bytes(content)
        with pytest.raises(SOLOv2Error, match=r"another run is writing .*out: it holds "), locked(tmp_path / "out"):
            pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    code = f"import solov2.output_lock as o, pathlib, time\nwith o.locked(pathlib.Path({str(tmp_path / 'out')!r})):\n"
    process = subprocess.Popen([sys.executable, "-c", f"{code} print(flush=True); time.sleep(60)"], stdout=-1, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(SOLOv2Error, match=f"process {process.pid} on "), locked(tmp_path / "out"):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with locked(tmp_path / "out"):
        pass


def test_of_many_at_once_one_holds_it(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def hold(_: int) -> bool:
        try:
            with locked(tmp_path / "out"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1
            return True
        except SOLOv2Error:
            return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(hold, range(300)))
    assert most == [1]
    assert any(won)
    assert not all(won)


def annotate_again(folder: Path, clip: Path) -> tuple[Path, Callable[[], int]]:
    from tests.fake_annotation import use_fake_model

    patched = pytest.MonkeyPatch()
    use_fake_model(patched)

    def run() -> int:
        from app import annotate

        try:
            return annotate.main([str(clip), "--out", str(folder)])
        finally:
            patched.undo()

    return folder / "clip", run


def save_again(folder: Path, clip: Path) -> tuple[Path, Callable[[], int]]:
    folder.mkdir()
    save = folder / "saved.mp4"
    return save, lambda: webcam.main(["--source", str(clip), "--headless", "--save", str(save)])


def convert_again(folder: Path, clip: Path) -> tuple[Path, Callable[[], int]]:
    instances, _ = recording(clip.parent)
    return folder / "coco.json", lambda: formats.main([str(instances), "--format", "coco", "--out", str(folder)])


def train_again(folder: Path, clip: Path) -> tuple[Path, Callable[[], int]]:
    write_coco(clip.parent / "data/pictures", clip.parent / "data/instances.json", count=3)
    arguments = ["--data", str(clip.parent / "data"), "--out", str(folder), "--device", "cpu", "--epochs", "1"]
    return folder, lambda: train.main(arguments)


@pytest.mark.parametrize("again", [annotate_again, save_again, convert_again, train_again])
def test_every_command_that_writes_says_who_writes_there_already(
    again: Callable[[Path, Path], tuple[Path, Callable[[], int]]],
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, run = again(tmp_path / "out", clip)
    with locked(output):
        before = sorted((tmp_path / "out").rglob("*"))
        assert run() == 2
        assert sorted((tmp_path / "out").rglob("*")) == before
    told = capsys.readouterr().err
    assert HELD.search(told)
    assert told.count("\n") == 1


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_by_one_run(name: str, tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    made = FORMATS[name](instances, tmp_path / "first").name
    output = tmp_path / "second" / ("labels" if name == "yolo" else made)
    with locked(output), pytest.raises(SOLOv2Error, match=HELD):
        FORMATS[name](instances, tmp_path / "second")
    assert not output.exists()


def start(clip: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fake_annotation", "0.02", str(clip), "--out", str(out), "--track"]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def test_of_two_runs_at_once_one_ends_at_once_and_the_other_is_whole(clip: Path, tmp_path: Path) -> None:
    pair = [start(clip, tmp_path / "out") for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in pair]
    codes = [process.returncode for process in pair]
    assert sorted(codes) == [0, 2], told
    assert "another run is writing" in told[codes.index(2)]
    assert told[codes.index(2)].count("\n") == 1
    alone = start(clip, tmp_path / "alone")
    assert alone.communicate(timeout=120)[1] == ""
    written = (tmp_path / "out/clip/instances.jsonl").read_bytes()
    assert written == (tmp_path / "alone/clip/instances.jsonl").read_bytes()
    assert len(written.splitlines()) == 21
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip"]


def test_a_page_job_is_run_once(clip: Path, tmp_path: Path) -> None:
    from app.annotation.settings import Settings
    from app.page.jobs import LINES, VideoJob
    from app.page.model_cache import Models

    job = VideoJob.take(clip, tmp_path / "jobs")
    with locked(job.folder / LINES):
        list(job.run(Models(), "nano", "cpu", Settings()))
    assert job.state == "failed"
    assert HELD.search(job.problem)
