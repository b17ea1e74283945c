# `make run` and `make test` set themselves up: they need make and Python 3.11 or newer, nothing else.
PYTHON ?= python3
SOURCE ?= sample
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input --quiet install --require-hashes --only-binary :all:
export PYTHON SOURCE

.PHONY: help run test test-containers train-env test-training chaos fuzz soak lint format bench clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make run [SOURCE=sample|0|rtsp://...|clip.mp4|folder/] [ARGS='more flags']   the pipeline; results in out/"
	@echo "make test [ARGS='-k word']   all tests"
	@echo "make test-containers         docker-compose.yml on a Docker engine: builds, runs, kills, restarts"
	@echo "make test-training           what make test skips: training, export, TensorFlow (3 GB)"
	@echo "make train-env               that environment: .venv-train/bin/emotion train --help"
	@echo "make chaos                   break everything on purpose, and check that nothing is lost (CHAOS_MINUTES=30)"
	@echo "make fuzz                    hostile bytes for all that reads (FUZZ_INPUTS=1000000)"
	@echo "make soak                    watch memory and handles for a while (SOAK_MINUTES=30)"
	@echo "make lint                    ruff and mypy"
	@echo "make format                  format the code"
	@echo "make bench                   measure this machine"
	@echo "make clean                   remove .venv, .venv-train, out and caches"
	@echo "PYTHON=python3.12 picks another Python (3.11 or newer)."

run: $(VENV)/.run
	@mkdir -p out
	@$(PY) -m emotion run --source "$$SOURCE" --output jsonl=out/results.jsonl --output video=out/annotated.mp4 \
		--summary-json out/summary.json $(ARGS)

test: $(VENV)/.dev
	@$(PY) -m pytest $(ARGS)

test-containers: $(VENV)/.dev
	@answer=$$(docker info 2>&1) || { echo "No Docker engine answers, so containers cannot be tested here:" >&2; \
		echo "$$answer" | tail -n 1 >&2; exit 1; }
	@TEST_CONTAINERS=1 $(PY) -m pytest tests/test_containers.py -x -s -v $(ARGS)

# TensorFlow has an environment of its own: what serves never sees it.
train-env:
	@$(MAKE) --no-print-directory VENV=.venv-train .venv-train/.train

test-training: train-env
	@.venv-train/bin/python -m pytest -m needs $(ARGS)

chaos: $(VENV)/.dev
	@$(PY) -m tests.chaos $(ARGS)

fuzz: $(VENV)/.dev
	@$(PY) -m tests.fuzz

soak: $(VENV)/.dev
	@$(PY) -m tests.soak

lint: $(VENV)/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy .

format: $(VENV)/.dev
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

bench: $(VENV)/.run
	@$(PY) -m emotion bench $(ARGS)

clean:
	rm -rf $(VENV) .venv-train out build .mypy_cache .ruff_cache .pytest_cache

# The packages of requirements/, at exactly these versions. A changed file is installed again.
$(VENV)/.run: requirements/run.txt $(PY)
	@echo "Installing what the pipeline needs (once, about a minute) ..."
	@$(PIP) -r requirements/run.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(PY)
	@echo "Installing what tests and checks need (once, about a minute) ..."
	@$(PIP) -r requirements/dev.txt
	@touch $@

$(VENV)/.train: requirements/train.txt requirements/dev.txt $(PY)
	@echo "Installing what training needs (once, a few minutes) ..."
	@$(PIP) -r requirements/train.txt -r requirements/dev.txt
	@touch $@

# The project itself is not copied: a .pth file shows Python this folder, from wherever the command is called.
$(PY):
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "This needs Python 3.11 or newer as $$PYTHON; name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@"$$PYTHON" -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "Python could not make $(VENV); on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PY) -c 'import os, sysconfig; \
		open(os.path.join(sysconfig.get_path("purelib"), "emotion-stream.pth"), "w").write(os.getcwd() + "\n")'
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -P -m emotion "$$@"\n' > $(VENV)/bin/emotion
	@chmod +x $(VENV)/bin/emotion
