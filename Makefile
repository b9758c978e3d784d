# LittleHolland. `make demo` and `make test` do all of their own set-up; they need Python >= 3.11 and make.
#
# Settings (make VARIABLE=value ...):
#   PYTHON        the Python that makes .venv                                   python3
#   PYTEST_ARGS   further arguments of pytest, e.g. PYTEST_ARGS='-k streams'
#   JOBS          test processes; auto = one a core                             auto
#   LH_SOURCES    a folder of real music, for the tests and recipes that read it

PYTHON ?= python3
JOBS ?= auto
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Test processes and data workers share the cores: more threads in each would only make them wait.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help install demo test check format lint types layers spelling fix bench integration gpu lock clean

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

install: $(INSTALLED)  ## .venv with `lh` in it, every package pinned by hash

# uv installs from the lock in parallel. It does not read pip's configuration, so where the packages come from
# a mirror that only pip knows, pip does the same work more slowly. Nothing is taken that the lock does not name:
# the package's own build backend comes from there too, and what is published as source is built with
# the setuptools of the lock.
$(INSTALLED): requirements.lock requirements-bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "LittleHolland needs Python >= 3.11; $(PYTHON) is not. Name another: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/pip || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing from requirements.lock: some minutes; about 3 GB to fetch and 6 GB on disk on Linux, for PyTorch brings its GPU libraries"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bootstrap.lock
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes --build-constraints requirements.lock -r requirements.lock || \
	  $(BIN)/python -m pip install --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)
	@echo "installed: $(BIN)/lh --help"

demo: $(INSTALLED)  ## prepare, train two small models, generate, compare: runs/demo/report.html
	$(BIN)/lh demo

test: $(INSTALLED)  ## the tests, on the CPU and without network
	$(TEST_ENV) $(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not gpu and not network" $(PYTEST_ARGS)

check: format lint types layers spelling  ## formatting, lint, types, walls between rooms, spelling

format: $(INSTALLED)
	$(BIN)/ruff format --check .

lint: $(INSTALLED)
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports --no-logo

spelling: $(INSTALLED)
	git ls-files -z | xargs -0 $(BIN)/codespell

fix: $(INSTALLED)  ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## benchmarks that fit a laptop: tables, and benchmarks/results/*.json
	@set -e; for benchmark in $$(ls benchmarks/*.py | grep -v /gpu_); do echo "== $$benchmark"; $(BIN)/python $$benchmark; done

integration: $(INSTALLED)  ## what takes long or reads real music: slow and real_data tests
	$(TEST_ENV) $(BIN)/pytest -n $(JOBS) --dist worksteal -m "(slow or real_data) and not gpu" --timeout 3600 $(PYTEST_ARGS)

# mamba-ssm is not an extra of the package. Its build imports the torch that is already installed, so it takes
# --no-build-isolation, which an extra cannot ask for; its declared dependencies would replace half of the
# environment, so it takes --no-deps. Left alone, its build fetches a binary that no hash vouches for (FORCE_BUILD
# forbids that) or compiles CUDA code we do not call (SKIP_CUDA_BUILD): lh_mm uses its Triton kernels, and the plain
# PyTorch code beside them where they do not load.
gpu: $(INSTALLED)  ## kernels for CUDA machines: mamba-ssm (see requirements-gpu.txt)
	MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE \
	  $(BIN)/python -m pip install --no-build-isolation --no-deps --require-hashes -r requirements-gpu.txt
	$(BIN)/lh doctor

lock: $(INSTALLED)  ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-header --no-emit-index-url --upgrade --quiet --output-file requirements.lock
	grep '^uv==' requirements.lock | sed 's/ .*//' | $(BIN)/uv pip compile - --universal --python-version 3.11 \
	  --no-deps --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet --output-file requirements-bootstrap.lock

clean:  ## remove caches and builds; .venv, data and runs stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
