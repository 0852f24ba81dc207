"""Fuzzing: hostile inputs for every reader of the program.

A target is one reader together with a strategy of `hypothesis` that makes its inputs. Four ways to run the targets:

    pytest tests/test_fuzz.py                 a short run of each target, always with the same inputs (`make test`)
    python -m tests.fuzz --seconds 60         a long run with new inputs every time (`make fuzz SECONDS=60`)
    python -m tests.fuzz --engine atheris     the same, guided by the coverage of the code (`pip install atheris`)
    python -m tests.fuzz.report --tries 400   a table: tries, failures, peak memory; each try in its own process

How to add a target: write `tests/fuzz/targets/READER.py`. It is found by itself if it has `TARGETS`:

    from app.sources.address import redacted
    from hypothesis import strategies as st
    from tests.fuzz.target import Target

    def _read(address: str) -> None:
        assert "secret" not in redacted(address)

    TARGETS = (Target("address", "addresses", st.text().map(lambda text: f"rtsp://{text}:secret@host/"), _read),)

A reader of files takes a `Path`: wrap it by `tests.fuzz.files.reads_file`, and let the strategy make `HostileFile`s,
for example by `mutated(files)`, which damages whole ones.

An input fails if the reader raises anything but `Target.errors`, if the message of that error is no single printable
line, or if the reader's process crashes, takes longer than `timeout_seconds` or more memory than `max_mb`. The last
three are only noticed by the report, where every try has its own process. An input that failed is added to
`Target.known`: made by code, with a name, and tried first every time.
"""
