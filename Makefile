PYTHON ?= python3
VENV ?= .venv
ARGS ?=
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
COMPILE := $(PY) -m piptools compile -q --upgrade --generate-hashes --no-strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
export PORT ?= 8000
export EXAMPLE ?= users
export CHECK
# Else each process of the tests compiles the library and the tests anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check full matrix lowest docs bench fix lock clean
help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --require-hashes -r requirements/dev.txt
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY)  ## serve an example: PORT=, EXAMPLE=; CHECK=1 acts as its client and ends
	$(PY) examples/demo.py

test: $(READY)  ## run the tests with the coverage gate; ARGS= goes to pytest
	$(PY) -m pytest -n auto --dist loadscope --cov $(ARGS)

check: $(READY)  ## run everything that must pass before a change lands
	$(MAKE) -j2 $(if $(filter output-sync,$(.FEATURES)),-O) check-style check-types check-pages docs check-wheel
	$(MAKE) test
	$(PY) .ci/lines.py

.PHONY: check-style check-types check-pages check-wheel
check-style: $(READY)
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(VENV)/bin/lint-imports --no-logo

check-types: $(READY)
	$(PY) -m mypy

check-pages: $(READY)
	$(PY) .ci/typed.py

check-wheel: $(READY)
	$(PY) .ci/wheel.py

full: check matrix lowest  ## check, matrix, lowest, and the long searches
	HYPOTHESIS_PROFILE=full $(PY) -m pytest --timeout=1800 $(ARGS)

matrix:  ## run the tests on each of 3.11, 3.12, 3.13 and 3.14 that is installed
	@for v in 3.11 3.12 3.13 3.14; do \
	  export PYENV_VERSION=$$v; \
	  if python$$v -c "" 2>/dev/null; \
	  then $(MAKE) test PYTHON=python$$v VENV=.venv-$$v || exit 1; \
	  else echo "Python $$v is not installed: no tests on it"; fi; \
	done

lowest:  ## run the tests on the oldest dependencies that pyproject.toml admits
	$(MAKE) .venv-lowest/.ready VENV=.venv-lowest
	.venv-lowest/bin/python -m pip install -q -r requirements/lowest.txt $$(.venv-lowest/bin/python .ci/lowest.py)
	.venv-lowest/bin/python -m pip check
	.venv-lowest/bin/python -m pip freeze --exclude-editable | paste -sd " " -
	.venv-lowest/bin/python -m pytest -n auto --dist loadscope $(ARGS)

docs: $(READY)  ## build the docs into docs/_build, warnings as errors
	$(PY) -m sphinx -n -W --keep-going -q docs docs/_build

$(VENV)/.bench: $(READY) requirements/bench.txt
	$(PY) -m pip install -q --require-hashes -r requirements/bench.txt
	touch $@

bench: $(VENV)/.bench  ## measure speed as ratios against a baseline: ARGS= names benchmarks
	$(PY) -m benchmarks.run $(ARGS)

fix: $(READY)  ## mend what ruff can mend, and format
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

lock: export CUSTOM_COMPILE_COMMAND = make lock
lock: $(READY)  ## pin requirements/dev.in, the extras and requirements/bench.in anew
	$(COMPILE) --extra all -o requirements/dev.txt pyproject.toml requirements/dev.in
	$(COMPILE) -o requirements/bench.txt requirements/bench.in

clean:  ## remove what the other targets made
	rm -rf .venv .venv-* build dist docs/_build .coverage .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
