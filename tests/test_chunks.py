"""Inputs annotated in chunks, by workers in this process: the same bytes as one machine, whatever happens."""

import json
import random
from pathlib import Path

import fsspec
import pytest

from app import annotate
from app.annotation.object_store import StoredOutputs
from app.cluster.archive_input import Task
from app.cluster.chunk import WHOLE, chunk_length, picture_chunks, video_chunks
from app.cluster.identity import difference, program_identity
from app.cluster.merging import Merger
from app.sources.packet_index import read_packet_index
from app.sources.selection import Selection
from app.sources.video import open_video
from app.stream_errors import SinkError
from tests.fake_annotation import use_fake_model
from tests.fake_cluster import Killed, annotated_in_chunks
from tests.fake_media import grey, write_picture, write_video

FRAMES = 25
PTS_MS = [40 * i + (i * 7) % 11 for i in range(FRAMES)]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_model(monkeypatch)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(FRAMES)], PTS_MS)


def plain(out: Path, *arguments: object) -> int:
    return annotate.main([*map(str, arguments), "--out", str(out)])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--track"],
        ["--track", "--batch", 4, "--stride", 2],
        ["--batch", 3, "--start", 0.2, "--end", 0.8],
        ["--track", "--video", "--format", "coco,youtube-vis"],
        ["--classes", "cat", "--score", 0.4, "--format", "masks"],
    ],
)
def test_chunks_give_the_files_of_one_machine(clip: Path, tmp_path: Path, options: list[object]) -> None:
    assert plain(tmp_path / "plain", clip, *options) == 0
    (outcome,), pool = annotated_in_chunks(tmp_path / "chunks", clip, *options)
    assert files(tmp_path / "chunks") == files(tmp_path / "plain")
    assert len(pool.done) > 2, "nothing was divided"
    assert (outcome.result, outcome.new_frames) == ("done", outcome.frames)


def test_pictures_and_several_inputs_give_the_files_of_one_machine(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for number in range(11):
        write_picture(tmp_path / f"shots/{number}.png", grey(9 * number, (48, 64 + number)))
    options = [clip, tmp_path / "shots", "demo", "--end", 2, "--batch", 2, "--track"]
    assert plain(tmp_path / "plain", *options[:2], *options[3:]) == 0
    outcomes, _ = annotated_in_chunks(tmp_path / "chunks", *options[:2], *options[3:])
    assert files(tmp_path / "chunks") == files(tmp_path / "plain")
    assert [one.result for one in outcomes] == ["done", "done"]


@pytest.mark.parametrize("damage", ["unreadable picture", "cut video", "damaged video", "no timestamps"])
def test_what_cannot_be_divided_exactly_is_read_as_a_whole(
    clip: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage == "unreadable picture":
        source = tmp_path / "shots"
        source.mkdir()
        for number in range(11):
            write_picture(source / f"{number}.png", grey(9 * number))
        (source / "6.png").write_bytes(b"no picture")
    elif damage == "no timestamps":
        source = write_video(tmp_path / "raw.h264", [grey(9 * i) for i in range(FRAMES)], container_format="h264")
    else:
        source = write_video(tmp_path / "long.mkv", [grey(2 * i) for i in range(100)])
        content = bytearray(source.read_bytes())
        middle = len(content) // 2
        source.write_bytes(
            content[:middle] if damage == "cut video" else content[:middle] + bytes(60) + content[middle + 60 :]
        )
    code = plain(tmp_path / "plain", source, "--track", "--json")
    (told,) = json.loads(capsys.readouterr().out)
    (outcome,), pool = annotated_in_chunks(tmp_path / "chunks", source, "--track")
    assert files(tmp_path / "chunks") == files(tmp_path / "plain")
    assert any(label.endswith(" whole") for label in pool.done)
    assert (outcome.problem, outcome.result) == (told["problem"], outcome.result)
    assert (code == 1) == (outcome.problem is not None)


def test_an_unreadable_input_is_told_as_on_one_machine_and_costs_no_other(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    assert plain(tmp_path / "plain", tmp_path / "broken.mp4", clip, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    outcomes, _ = annotated_in_chunks(tmp_path / "chunks", tmp_path / "broken.mp4", clip)
    assert [one.problem for one in outcomes] == [one["problem"] for one in told]
    assert [one.is_done for one in outcomes] == [False, True]
    assert files(tmp_path / "chunks") == files(tmp_path / "plain")


def test_the_chunk_of_a_worker_that_dies_is_done_again(clip: Path, tmp_path: Path) -> None:
    lost: list[str] = []

    def dies(task: Task) -> bool:
        is_due = task.label not in lost
        lost.append(task.label)
        return is_due  # everything fails once

    annotated_in_chunks(tmp_path / "chunks", clip, "--track", dies=dies)
    assert len(lost) == 2 * (1 + 7)
    assert plain(tmp_path / "plain", clip, "--track") == 0
    assert files(tmp_path / "chunks") == files(tmp_path / "plain")


def test_a_chunk_that_ends_every_worker_is_given_up_and_the_other_inputs_are_not(clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", [grey(0)] * 9)
    outcomes, _ = annotated_in_chunks(
        tmp_path / "out", clip, other, dies=lambda task: task.label == "clip 000000008-000000011"
    )
    assert outcomes[0].problem == "clip 000000008-000000011 ended 3 workers, and is not tried again"
    assert not outcomes[0].is_done
    assert outcomes[1].result == "done"


@pytest.mark.parametrize("batch", [1, 3])
def test_wherever_the_run_was_killed_the_same_command_gives_the_same_files(
    clip: Path, tmp_path: Path, batch: int
) -> None:
    options = [clip, "--track", "--batch", batch, "--format", "coco"]
    assert plain(tmp_path / "plain", *options) == 0
    for kill_at in (1, 3, 5):
        out, begun = tmp_path / f"killed{kill_at}", 0

        def dies(task: Task, kill_at: int = kill_at) -> bool:
            nonlocal begun
            begun += 1
            if begun > kill_at:
                raise Killed
            return False

        with pytest.raises(Killed):
            annotated_in_chunks(out, *options, dies=dies)
        _, pool = annotated_in_chunks(out, *options)
        assert files(out) == files(tmp_path / "plain")
        chunks = -(-FRAMES // chunk_length(4, batch))
        assert len(pool.done) == 1 + chunks - (kill_at - 1), "a chunk was done twice"


def test_a_merge_that_was_cut_anywhere_goes_on(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [clip, "--track", "--batch", 3]
    assert plain(tmp_path / "plain", *options) == 0
    whole = (tmp_path / "plain/clip/instances.jsonl").read_bytes()
    draw = random.Random(1)
    for cut in (0, whole.index(b"\n") + 1, len(whole), *(draw.randrange(len(whole)) for _ in "abcd")):
        folder = tmp_path / f"cut{cut}/clip"
        folder.mkdir(parents=True)
        (folder / "instances.partial.jsonl").write_bytes(whole[:cut])
        annotated_in_chunks(tmp_path / f"cut{cut}", *options)
        assert (folder / "instances.jsonl").read_bytes() == whole
    with monkeypatch.context() as patched:
        patched.setattr(Merger, "append", _fail)
        with pytest.raises(Killed):
            annotated_in_chunks(tmp_path / "unmerged", *options)
    annotated_in_chunks(tmp_path / "unmerged", *options)
    assert files(tmp_path / "unmerged") == files(tmp_path / "plain")


def _fail(*_: object) -> None:
    raise Killed


def test_a_run_on_one_machine_goes_on_where_workers_stopped(clip: Path, tmp_path: Path) -> None:
    def dies(task: Task) -> bool:
        if task.label.startswith("clip 000000012"):
            raise Killed
        return False

    with pytest.raises(Killed):
        annotated_in_chunks(tmp_path / "out", clip, "--track", dies=dies)
    assert plain(tmp_path / "out", clip, "--track") == 0
    assert plain(tmp_path / "plain", clip, "--track") == 0
    name = "clip/instances.jsonl"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_a_seam_that_does_not_fit_lets_the_input_be_read_as_a_whole(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(1000))
    monkeypatch.setattr("app.cluster.chunk_source.digest", lambda frame: str(next(numbers)))
    _, pool = annotated_in_chunks(tmp_path / "chunks", clip, "--track")
    assert "clip whole" in pool.done
    assert plain(tmp_path / "plain", clip, "--track") == 0
    assert files(tmp_path / "chunks") == files(tmp_path / "plain")


def test_outputs_made_with_other_options_are_left_alone(clip: Path, tmp_path: Path) -> None:
    annotated_in_chunks(tmp_path / "out", clip)
    before = files(tmp_path / "out")
    with pytest.raises(SinkError, match=r"was made with score 0\.3, and now it is 0\.5"):
        annotated_in_chunks(tmp_path / "out", clip, "--score", 0.5)
    assert files(tmp_path / "out") == before


def test_a_leftover_chunk_of_another_run_is_not_used(clip: Path, tmp_path: Path) -> None:
    assert plain(tmp_path / "plain", clip) == 0

    def dies(task: Task) -> bool:
        if task.label.startswith("clip 000000012"):
            raise Killed
        return False

    with pytest.raises(Killed):
        annotated_in_chunks(tmp_path / "out", clip, dies=dies)
    for path in (tmp_path / "out/clip/chunks.partial").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    (tmp_path / "out/clip/instances.partial.jsonl").unlink()
    annotated_in_chunks(tmp_path / "out", clip)
    assert files(tmp_path / "out") == files(tmp_path / "plain")


def test_inputs_and_outputs_in_an_object_store(clip: Path, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.put_file(str(clip), "/bucket/films/clip.mp4")
    for number in range(6):
        picture = write_picture(tmp_path / f"{number}.png", grey(9 * number))
        store.put_file(str(picture), f"/bucket/shots/{picture.name}")
    names = ["memory://bucket/films/*.mp4", "memory://bucket/shots"]
    options = ["--track", "--video", "--format", "coco"]
    stored = StoredOutputs("memory://bucket/out", tmp_path / "staging")
    outcomes, _ = annotated_in_chunks(stored, *names, *options)
    assert [one.input for one in outcomes] == ["memory://bucket/films/clip.mp4", "memory://bucket/shots"]
    assert [one.result for one in outcomes] == ["done", "done"]
    assert files(tmp_path / "staging") == {}
    assert plain(tmp_path / "plain", clip, *options) == 0
    for name, content in files(tmp_path / "plain/clip").items():
        content = content.replace(str(clip).encode(), b"memory://bucket/films/clip.mp4")  # what the input is called
        assert store.cat_file(f"/bucket/out/clip/{name}") == content
    outcomes, pool = annotated_in_chunks(stored, *names, *options)
    assert [one.result for one in outcomes] == ["was done before"] * 2
    assert pool.done == []
    store.rm("/bucket", recursive=True)


def test_pictures_are_divided_into_frames_that_follow_one_another() -> None:
    chunks = picture_chunks(23, Selection(start_seconds=3, end_seconds=20, stride=2), 4)
    assert [chunk.frames for chunk in chunks] == [(3, 5, 7, 9), (11, 13, 15, 17), (19,)]
    assert [chunk.first for chunk in chunks] == [0, 4, 8]
    assert picture_chunks(4, Selection(), 4) == (WHOLE,)


def test_videos_are_divided_so_that_every_picture_belongs_to_a_stretch(clip: Path) -> None:
    index, source = read_packet_index(clip), open_video(clip)
    assert index is not None
    source.close()
    shown = index.shown().tolist()
    for stride, length in ((1, 4), (3, 2), (2, 5)):
        chunks = video_chunks(index, source.time_base, Selection(stride=stride), length)
        assert [frame for chunk in chunks for frame in chunk.frames] == list(range(0, FRAMES, stride))
        stretches = [chunk.stretch for chunk in chunks]
        assert all(stretch is not None for stretch in stretches)
        covered = {pts for stretch in stretches if stretch for pts in stretch.pts}
        assert sorted(covered) == shown
        assert all(chunk.first % length == 0 for chunk in chunks)
    assert video_chunks(index, source.time_base, Selection(), FRAMES) == (WHOLE,)


def test_a_chunk_is_a_whole_number_of_batches() -> None:
    assert [chunk_length(1000, batch) for batch in (1, 8, 3, 2000)] == [1000, 1000, 1002, 2000]


def test_a_worker_of_another_version_is_told_apart() -> None:
    own = program_identity()
    assert difference(own, dict(own)) is None
    complaint = difference(own, own | {"torch": "1.0"})
    assert complaint == f"has torch 1.0, and this command has {own['torch']}"
    assert (
        difference(own, {"solov2-live": own["solov2-live"]}) == f"has torch none, and this command has {own['torch']}"
    )
