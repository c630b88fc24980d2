# `make demo` and `make test` are all a newcomer needs: each sets everything up in .venv from a lock file.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench lock clean help

help:
	@echo "make demo    see Trimtab work, in a throw-away fleet repo"
	@echo "make test    run the test suite"
	@echo "make lint    ruff, mypy --strict, import-linter"
	@echo "make bench   measure speed and memory against limits taken in the same run"
	@echo "make lock    compile the lock files anew after a change in pyproject.toml"

demo: .venv/.runtime
	$(BIN)/trimtab demo

test: .venv/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev
	$(BIN)/python -m bench $(BENCH_ARGS)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Trimtab needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runtime: .venv/bin/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# pip-tools is needed here only, so it is not in the lock files.
LOCK = $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-options --no-header
lock: .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(LOCK) --extra postgres --extra build -o requirements.lock pyproject.toml
	$(LOCK) --extra dev -o requirements-dev.lock pyproject.toml

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
