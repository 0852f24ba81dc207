"""The check of links that `make docs` runs, and the links of the pages that are in the repository."""

from pathlib import Path

from docs.make_api import ROOT, broken_links


def test_no_page_links_to_what_is_not_there() -> None:
    assert list(broken_links([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])) == []


def test_missing_files_and_anchors_are_named(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.html"
    page.write_text("# One Head\n[a](#one-head) [b](#two) [c](other.html#here) [d](other.html#there) [e](gone.md)\n")
    other.write_text(
        '<p id="here"><a href="page.md">x</a><a href="https://example.org/gone">y</a><a href="no.md">z</a>'
    )
    found = [line.rpartition(": ")[2] for line in broken_links([page, other])]
    assert found == ["#two", "other.html#there", "gone.md", "no.md"]
