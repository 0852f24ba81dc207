# The same commands for people and for continuous integration. `make run` is the place to start.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test fuzz check docs audit format setup bench clean

SECONDS ?= 60

run: setup  ## segment the built-in clip, in a window where there is one, and into output/demo.mp4
	@mkdir -p output
	$(BIN)/python -m app.webcam --source demo --save output/demo.mp4 --stats-json output/demo.json
	@echo
	@echo "Look at output/demo.mp4. What to try next, after: source .venv/bin/activate"
	@echo "  solov2-live webcam                                     your camera"
	@echo "  solov2-live webcam --source VIDEO.mp4 --save OUT.mp4   a video file"
	@echo "  solov2-live webcam --source rtsp://HOST/PATH           a network camera"
	@echo "  solov2-live --help                                     everything else"

test: setup  ## run the tests
	$(BIN)/python -m pytest

fuzz: setup  ## look for inputs that a reader fails on: make fuzz SECONDS=60 (for each reader)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

check: setup  ## lint, security, formatting, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: setup  ## build the API pages into output/api, and check every link inside the project
	$(BIN)/python -m docs.make_api

audit: setup  ## known vulnerabilities of the installed packages (needs the network)
	$(BIN)/python -m tests.audit

format: setup  ## put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup  ## measure: the stream against the model alone, parity with the reference
	$(BIN)/python -m benchmarks.stream
	$(BIN)/python -m tests.parity.compare

setup: .venv/.ready  ## make the virtual environment

.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed. Name one: make run PYTHON=python3.12"; exit 2; }
	@echo "Setting up .venv: torch and its libraries take a few minutes and about 6 GB, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:  ## remove what the commands above made
	rm -rf .venv output build *.egg-info .mypy_cache .pytest_cache .ruff_cache
