"""Build the API pages from the docstrings, and check every link inside the project: `make docs`.

    python -m docs.make_api [OUT]

pdoc makes the pages: it reads plain docstrings and annotations, and needs no configuration.
"""

import re
import sys
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pdoc

ROOT = Path(__file__).parents[1]
MODULES = ("solov2", "app", "!app.page", "!app.annotation.jsonl_schema")
_MARKDOWN_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


class Page(HTMLParser):
    """The anchors and links of an HTML page."""

    def __init__(self, text: str) -> None:
        """Read `text`."""
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the anchor and the link of a tag."""
        values = dict(attrs)
        self.anchors.update(filter(None, (values.get("id"), values.get("name"))))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")


def anchors_and_links(path: Path) -> tuple[set[str], list[str]]:
    """Return what can be linked to in a page, and where it links to."""
    text = path.read_text()
    if path.suffix == ".html":
        page = Page(text)
        return page.anchors, page.links
    headings = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}
    return headings, _MARKDOWN_LINK.findall(text)


def broken_links(paths: list[Path]) -> Iterator[str]:
    """Yield "page: link" for each link to a file or an anchor that does not exist; other sites are not asked."""
    known = {path.resolve(): anchors_and_links(path) for path in paths}
    for path, (_, links) in known.items():
        for link in links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            is_missing = not target.exists() or (anchor and target in known and anchor not in known[target][0])
            if is_missing:
                yield f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}: {link}"


def main() -> int:
    """Return the exit code: 1 where a link is broken."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "output" / "api"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Error parsing type annotation")  # it is then shown as it is written
        pdoc.pdoc(*MODULES, output_directory=out)
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *out.rglob("*.html")]
    broken = list(broken_links(pages))
    for line in broken:
        print(f"broken link in {line}", file=sys.stderr)
    print(f"{out / 'index.html'}: {len(pages)} pages, {len(broken)} broken links")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
