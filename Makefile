# `make run` and `make test` set themselves up: they need make and Python 3.11 or newer, nothing else.
PYTHON ?= python3
SOURCE ?= sample
ARGS ?=
BACKEND ?= tensorflow
# Most tests wait more than they compute, so three at once suit two cores. ARGS=-n0 runs them in one process, for a debugger.
TEST_PROCESSES ?= 3

VENV := .venv
# What trains has an environment of its own, one for each library that Keras computes with: what serves never sees it.
TRAIN_tensorflow := train
TRAIN_torch := train-torch
TRAIN_jax := train-jax
TRAIN := $(TRAIN_$(BACKEND))
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input --quiet install --require-hashes --only-binary :all:
export PYTHON SOURCE

.PHONY: help run test test-containers train-env test-training chaos fuzz soak year lint format docs hooks bench clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

# The front door: what can be done here, in the order in which somebody new needs it.
help:
	@echo "Emotion Stream. Every target sets itself up on its first use."
	@echo
	@echo "Try it"
	@echo "  make run [SOURCE=sample|0|rtsp://...|clip.mp4|folder/] [ARGS='more flags']   results in out/"
	@echo "  make bench [ARGS=--quick]    measure how fast it is on this machine"
	@echo "  make train-env               an environment with TensorFlow (3 GB): .venv-train/bin/emotion train --help"
	@echo "  make train-env BACKEND=torch|jax   the same on PyTorch or JAX, in .venv-train-torch or .venv-train-jax"
	@echo
	@echo "Change it (CONTRIBUTING.md tells how)"
	@echo "  make test [ARGS='-k word']   all tests, or those with a word in their name; ARGS=tests/sink runs a folder"
	@echo "  make lint                    ruff and mypy"
	@echo "  make format                  format the code"
	@echo "  make docs                    write docs/reference/ anew from the code"
	@echo "  make hooks                   let git run make lint before each commit, make test before each push"
	@echo
	@echo "Test it harder"
	@echo "  make test-training           what make test skips: training, export, TensorFlow (3 GB)"
	@echo "  make test-containers         docker-compose.yml on a Docker engine: builds, runs, kills, restarts"
	@echo "  make chaos                   break everything on purpose, check that nothing is lost (CHAOS_MINUTES=30)"
	@echo "  make fuzz                    hostile bytes for everything that reads (FUZZ_INPUTS=1000000)"
	@echo "  make soak                    watch memory and file handles for a while (SOAK_MINUTES=30)"
	@echo "  make year                    a year of results on a small disk, in minutes (YEAR_DAYS=400)"
	@echo "  TEST_DETECTOR=yunet, CHAOS_DETECTOR=yunet, FUZZ_DETECTOR=yunet do these with the other detector."
	@echo
	@echo "make clean removes .venv, .venv-train*, out and caches. PYTHON=python3.12 picks another Python (3.11 or newer)."

run: $(VENV)/.run
	@mkdir -p out
	@$(PY) -m emotion_stream run --source "$$SOURCE" --output jsonl=out/results.jsonl --output video=out/annotated.mp4 \
		--summary-json out/summary.json $(ARGS)

test: $(VENV)/.dev
	@$(PY) -m pytest -n $(TEST_PROCESSES) --dist loadfile $(ARGS)

test-containers: $(VENV)/.dev
	@answer=$$(docker info 2>&1) || { echo "No Docker engine answers, so containers cannot be tested here:" >&2; \
		echo "$$answer" | tail -n 1 >&2; exit 1; }
	@TEST_CONTAINERS=1 $(PY) -m pytest tests/containers -x -s -v $(ARGS)

train-env:
	@test -n "$(TRAIN)" || { echo "BACKEND=$(BACKEND): there are tensorflow, torch and jax" >&2; exit 1; }
	@$(MAKE) --no-print-directory VENV=.venv-$(TRAIN) .venv-$(TRAIN)/.train

# The networks are tiny: threads would only wait for one another.
test-training: train-env
	@KERAS_BACKEND=$(BACKEND) OMP_NUM_THREADS=1 .venv-$(TRAIN)/bin/python -m pytest -m needs --timeout 400 $(ARGS)

chaos: $(VENV)/.dev
	@$(PY) -m tests.chaos $(ARGS)

fuzz: $(VENV)/.dev
	@$(PY) -m tests.fuzz

soak: $(VENV)/.dev
	@$(PY) -m tests.soak

year: $(VENV)/.dev
	@$(PY) -m tests.year

lint: $(VENV)/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy emotion_stream tests docs deploy

format: $(VENV)/.dev
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

# The pages that repeat what the code declares; a test compares them.
docs: $(VENV)/.dev
	@$(PY) docs/generate.py

hooks: $(VENV)/.hooks
	@$(PY) -m pre_commit install

bench: $(VENV)/.run
	@$(PY) -m emotion_stream bench $(ARGS)

clean:
	rm -rf $(VENV) .venv-train .venv-train-torch .venv-train-jax out build .mypy_cache .ruff_cache .pytest_cache

# The packages of requirements/, at exactly these versions. A changed file is installed again.
$(VENV)/.run: requirements/run.txt $(PY)
	@echo "Installing what the pipeline needs (once, about a minute) ..."
	@$(PIP) -r requirements/run.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(PY)
	@echo "Installing what tests and checks need (once, about a minute) ..."
	@$(PIP) -r requirements/dev.txt
	@touch $@

$(VENV)/.hooks: requirements/hooks.txt $(VENV)/.dev
	@echo "Installing pre-commit (once) ..."
	@$(PIP) -r requirements/hooks.txt
	@touch $@

$(VENV)/.train: requirements/$(TRAIN).txt requirements/dev.txt $(PY)
	@echo "Installing what training needs (once, a few minutes) ..."
	@$(PIP) -r requirements/$(TRAIN).txt -r requirements/dev.txt
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
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -P -m emotion_stream "$$@"\n' > $(VENV)/bin/emotion
	@chmod +x $(VENV)/bin/emotion
