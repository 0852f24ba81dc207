"""From names to inputs: what is found, in which order, under which name."""

import os
import time
from pathlib import Path

import pytest

from app.annotation.inputs import Input, find_inputs
from app.stream_errors import SourceError
from tests.fake_media import grey, write_picture, write_video


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with videos and pictures in it that nobody opens."""
    for name in ("b.mp4", "a.mkv", "notes.md", "shots/1.png", "shots/10.png", "shots/2.png", "more/b.mp4", "x/y/z.mov"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*names: str, listing: list[str] | None = None) -> list[tuple[str, str]]:
    """Name and path of each input."""
    return [(one.name, str(one.path)) for one in find_inputs(names, Path("out"), listing)]


def pictures(one: Input) -> list[str]:
    return [path.name for path in one.pictures]


def test_files_keep_their_order_and_are_called_by_their_stem(folder: Path) -> None:
    assert found("b.mp4", "a.mkv") == [("b", "b.mp4"), ("a", "a.mkv")]


def test_a_folder_is_its_videos_one_by_one_and_its_pictures_as_one_sequence(folder: Path) -> None:
    assert found(".") == [("a", "a.mkv"), ("b", "b.mp4")]
    (sequence,) = find_inputs(["shots"], Path("out"))
    assert (sequence.name, sequence.path, pictures(sequence)) == ("shots", Path("shots"), ["1.png", "2.png", "10.png"])
    assert [sequence.file_name(index) for index in range(3)] == ["1.png", "2.png", "10.png"]


def test_globs_find_videos_at_any_depth_and_never_the_outputs(folder: Path) -> None:
    (folder / "out/b").mkdir(parents=True)
    (folder / "out/b/annotated.mp4").touch()
    assert [path for _, path in found("**/*.m*")] == ["a.mkv", "b.mp4", "more/b.mp4", "x/y/z.mov"]


@pytest.mark.parametrize("names", [["shots/*.png"], ["shots/%d.png"], ["shots/1.png", "shots/2.png", "shots/10.png"]])
def test_pictures_of_one_folder_are_one_sequence_however_they_are_named(folder: Path, names: list[str]) -> None:
    (sequence,) = find_inputs(names, Path("out"))
    assert (sequence.name, pictures(sequence)) == ("shots", ["1.png", "2.png", "10.png"])


def test_a_file_that_is_named_but_lies_among_the_outputs_is_not_passed_over(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"b\.mp4 lies in --out \."):
        find_inputs(["b.mp4"], Path("."))
    with pytest.raises(SourceError, match=r"more/b\.mp4 lies in --out more"):
        find_inputs(["a.mkv", "more/b.mp4"], Path("more"))


def test_files_called_like_other_sources_are_files(folder: Path) -> None:
    write_video(folder / "demo", [grey(100)] * 3, options={}, container_format="mp4")
    (one,) = find_inputs(["./demo"], Path("out"))
    assert not one.is_demo
    assert sum(1 for _ in one.open()) == 3
    (clip,) = find_inputs(["demo"], Path("out"))
    assert clip.is_demo


def test_a_name_that_no_program_can_write_down_is_told(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (folder / name).touch()
    with pytest.raises(SourceError, match="the name is not valid Unicode") as caught:
        find_inputs(["*.jpg"], Path("out"))
    str(caught.value).encode()


def test_any_digits_may_stand_in_a_pictures_name(folder: Path) -> None:
    (folder / "odd").mkdir()
    for name in ("①01.png", "²5.png", "10.png", "9.png"):
        (folder / "odd" / name).touch()
    (sequence,) = find_inputs(["odd"], Path("out"))
    assert pictures(sequence) == ["9.png", "10.png", "²5.png", "①01.png"]


def test_many_pictures_are_found_in_no_time(folder: Path) -> None:
    (folder / "many").mkdir()
    for number in range(5000):
        (folder / "many" / f"{number}.jpg").touch()
    began = time.process_time()
    (sequence,) = find_inputs(["many"], Path("out"))
    assert len(sequence.pictures) == 5000
    assert time.process_time() - began < 2


def test_a_picture_alone_is_called_by_its_own_name(folder: Path) -> None:
    assert found("shots/10.png") == [("10", "shots/10.png")]


def test_a_list_is_read_from_a_file_or_from_standard_input(folder: Path) -> None:
    (folder / "list.txt").write_text("# clips\nb.mp4\n\n  shots  \n")
    expected = [("b", "b.mp4"), ("shots", "shots")]
    assert found("list.txt") == expected
    assert found("-", listing=["b.mp4\n", "shots\n"]) == expected
    (folder / "list.txt").write_bytes("\ufeffb.mp4\r\nshots\r\n".encode())  # as Windows' editors write it
    assert found("list.txt") == expected


def test_what_is_named_twice_is_done_once(folder: Path) -> None:
    assert found("b.mp4", "./b.mp4", str(folder / "b.mp4"), ".") == [("b", "b.mp4"), ("a", "a.mkv")]


def test_inputs_of_one_name_are_told_apart_whatever_their_order(folder: Path) -> None:
    (folder / "b.mkv").touch()
    expected = {"b.mkv": "b.mkv", "b.mp4": f"{folder.name}_b.mp4", "more/b.mp4": "more_b.mp4"}
    assert {path: name for name, path in found("b.mp4", "b.mkv", "more/b.mp4")} == expected
    assert {path: name for name, path in found("more/b.mp4", "b.mp4", "b.mkv")} == expected


def test_names_that_differ_in_case_alone_are_told_apart_too(folder: Path) -> None:
    (folder / "B.avi").touch()
    assert {name for name, _ in found("b.mp4", "B.avi")} == {"b.mp4", "B.avi"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nowhere.mp4"], "no such file or folder: nowhere.mp4"),
        (["*.webm"], r"no video and no picture matches \*.webm"),
        (["x"], "no video and no picture in the folder x"),
        (["shots/%04d.jpg"], "no pictures are called shots/%04d.jpg"),
        (["-"], "no input: name videos"),
        (["https://me:secret@host/clip.mp4"], "https://host/… is an address: save it as a file first"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(folder: Path, names: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        find_inputs(names, Path("out"), listing=[])


def test_the_fingerprint_changes_with_the_content(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [grey(10)] * 3)
    before = Input(clip).fingerprint()
    assert Input(clip).fingerprint() == before
    write_video(clip, [grey(90)] * 3)
    assert Input(clip).fingerprint() != before
    shot = write_picture(tmp_path / "1.png", grey(10))
    other = write_picture(tmp_path / "2.png", grey(10))
    assert Input(tmp_path, (shot,)).fingerprint() != Input(tmp_path, (shot, other)).fingerprint()
