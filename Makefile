# make setup | demo | test | lint | clean. Everything goes into .venv here; nothing else on the machine is touched.
#
#   PYTHON    the Python that .venv is made from (3.11 or 3.12)
#   TORCH     the build of torch to install; it goes first, so the rest reuses it
#   PIP_ARGS  handed to every pip call, for instance another package index

PYTHON ?= python3
TORCH ?= torch==2.13.0
PIP_ARGS ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.diswm-setup
ORT_WEB := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' src/diswm/explorer/webruntime.py)
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input $(PIP_ARGS)

.PHONY: help setup demo test lint clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   create .venv and install diswm into it (minutes the first time, nothing the second)"
	@echo "make demo    setup, then the guided tour: pretrain, transfer, evaluate, one page of results"
	@echo "make test    setup, then the tests on two workers (PYTEST_ARGS='-k layers' to choose)"
	@echo "make lint    setup, then ruff (lint, format) and mypy"
	@echo "make clean   remove caches and build outputs; runs/ and .venv stay"
	@echo "Variables: PYTHON=python3.12  TORCH='torch==2.13.0'  PIP_ARGS='--index-url ...'"

setup: $(STAMP)
	@cat $(STAMP)

# A version check of the Python that will make .venv, and of the one that is in it already.
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
WHY_NOT = needs Python 3.11 or 3.12 (dm_control has a dependency without a wheel for 3.13); try: make setup PYTHON=python3.12

# Written last, so that an interrupted setup starts over; pip skips what is already there.
$(STAMP): pyproject.toml
	@set -e; trap 'exit 130' INT TERM; \
	if [ ! -x $(BIN)/python ]; then \
	  command -v "$(PYTHON)" >/dev/null || { echo "setup: no '$(PYTHON)' here; diswm $(WHY_NOT)" >&2; exit 1; }; \
	  "$(PYTHON)" -c '$(SUPPORTED)' || { echo "setup: $$("$(PYTHON)" --version 2>&1) found; diswm $(WHY_NOT)" >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "setup: this Python cannot create environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }; \
	  echo "setup: creating $(VENV) with $$("$(PYTHON)" --version)"; \
	  "$(PYTHON)" -m venv $(VENV); \
	fi; \
	$(BIN)/python -c '$(SUPPORTED)' || \
	  { echo "setup: $(VENV) holds $$($(BIN)/python --version 2>&1); remove $(VENV), as diswm $(WHY_NOT)" >&2; exit 1; }; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
	done=""; missing=""; \
	echo "setup: installing torch (the largest download; minutes)"; \
	$(PIP) "$(TORCH)"; \
	echo "setup: installing diswm, its development tools and the simulators"; \
	if $(PIP) -e '.[dev,warp,drawer]'; then done=", simulators (dmc), OpenGL-free renderer (warp), DrawerWorld (drawer)"; \
	else echo "setup: not all at once; now one by one"; \
	  $(PIP) -e '.[dev]'; \
	  if $(PIP) -e '.[dmc]'; then \
	    done="$$done, simulators (dmc)"; \
	    if $(PIP) -e '.[warp]'; then done="$$done, OpenGL-free renderer (warp)"; else \
	      missing="  warp: the simulators then need OpenGL; on Debian or Ubuntu: apt-get install libegl1 libgl1"; fi; \
	    if $(PIP) -e '.[drawer]'; then done="$$done, DrawerWorld (drawer)"; else \
	      missing="$${missing:+$$missing;}  drawer: the tasks drawer_open and drawer_close"; fi; \
	  else \
	    missing="  dmc, and with it warp and drawer: no simulated robots; the toy world, videos, metrics and reports still work"; fi; fi; \
	echo "setup: fetching what runs the networks in the page of diswm explore (onnxruntime-web, by npm)"; \
	mkdir -p $(VENV)/share/diswm; page=""; \
	if [ -f $(VENV)/share/diswm/onnxruntime-web-$(ORT_WEB).tgz ] || { command -v npm >/dev/null && \
	  npm pack --silent onnxruntime-web@$(ORT_WEB) --pack-destination $(VENV)/share/diswm >/dev/null; }; then \
	  done="$$done, explorer's page"; else \
	  page="  explorer's page: diswm explore does not work; it needs npm (Node.js), once"; fi; \
	{ printf 'setup: installed in $(VENV): %s, diswm, development tools%s\n' \
	    "$$($(BIN)/python -c 'import torch; print("torch", torch.__version__)')" "$$done"; \
	  if [ -n "$$missing$$page" ]; then \
	    printf "setup: not installed (see the words above; try again with: make -B setup)\n"; printf '%s\n' "$$missing" "$$page" | grep .; \
	  else echo "setup: nothing is missing"; fi; } > $(STAMP).part; \
	mv $(STAMP).part $(STAMP)

demo: $(STAMP)
	$(BIN)/diswm demo

# One thread a worker: two workers with two threads each are slower than two with one. Tests marked as a group share something costly,
# so they go to one worker.
test: $(STAMP)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
	find src tests benchmarks recipes -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
