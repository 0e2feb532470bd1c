# Everything from a fresh checkout: `make demo`, `make test`. Needs Python 3.11 or 3.12 and nothing else.
#
#   make demo ARGS="--seed 7 --cameras 5"   options of the demo
#   make demo PYTHON=python3.12             another Python
#   make demo TORCH_INDEX=URL               torch from that package index, outside the hashes of the lock: you trust it
#   make demo EXTRA=gpu                     faiss-gpu in place of faiss-cpu

SHELL := /bin/bash
PYTHON ?= python3
EXTRA ?= cpu
VENV ?= .venv
ARGS ?=
TORCH_INDEX ?=
# a file of tests stays in one of them, with the Ray that it starts; most of their time is spent waiting for services.
# The files that take longest come first, as they are named, so that both end at about the same time.
TEST_PROCESSES ?= 2

BIN := $(VENV)/bin
LOCK := requirements/$(EXTRA).lock
STAMP := $(VENV)/.installed-$(EXTRA)
# both carry the module faiss
OTHER_FAISS := $(if $(filter gpu,$(EXTRA)),faiss-cpu,faiss-gpu)
# what comes with torch when it is taken from the lock
TORCH_PARTS := torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+
TORCH_PIN = $$(sed -nE 's/^(torch==[^ ]+).*/\1/p' $(LOCK))
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test faults lint format types contracts wheel wheel-test docs lock clean distclean

help:
	@echo "make demo        run the demo (ARGS=...), after installing what it needs into $(VENV)"
	@echo "make test        run the test suite (ARGS=...)"
	@echo "make faults      kill, pause and starve parts of a running network (ARGS=...; hours; docs/faults.md)"
	@echo "make lint        ruff: rules and format        make types       mypy --strict"
	@echo "make contracts   import contracts              make wheel-test  the tests against the built wheel"
	@echo "make docs        pages that follow from code   make lock        compile requirements/ anew (needs uv)"
	@echo "make clean       remove what was built         make distclean   and $(VENV) as well"

demo: $(STAMP)
	@$(BIN)/lamppost demo $(ARGS)

# The city is compiled once beforehand: on a new checkout every process of the first tests would do it at the same time,
# and on a slow machine longer than they wait.
test: $(STAMP)
	@$(BIN)/python -c "from pipeline.synthetic.street import Street, StreetSpec; s = Street(StreetSpec(seed=1, camera='compile/0', fps=1.0)); [s.render(i) for i in range(s.frames_per_loop)]"
	@$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

faults: $(STAMP)
	@$(BIN)/python -m loadtest.faults $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

format: $(STAMP)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

types: $(STAMP)
	@$(BIN)/mypy
	@$(BIN)/mypy tests/typing

contracts: $(STAMP)
	@$(BIN)/lint-imports --no-logo

wheel: $(STAMP)
	@$(BIN)/python -m hatchling build -t wheel -d dist

wheel-test: $(STAMP)
	@.ci/wheel-test $(BIN)/python $(ARGS)

docs: $(STAMP)
	@$(BIN)/python -m pipeline.runtime.reference docs

lock:
	@for extra in cpu gpu; do \
	  uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	    --extra $$extra --extra dev --custom-compile-command "make lock" -o requirements/$$extra.lock || exit; \
	done

clean:
	@rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV)

$(STAMP): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v in ((3, 11), (3, 12)) or sys.exit( \
	  "Lamppost needs Python 3.11 or 3.12, and $(PYTHON) is %d.%d; try: make PYTHON=python3.12 ..." % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.installed-*
	@$(BIN)/python -m pip uninstall --quiet --yes $(OTHER_FAISS) 2>/dev/null
ifeq ($(TORCH_INDEX),)
	@echo "installing into $(VENV): about 2.7 GB to download on a machine that has none of it, 6.6 GB on disk"
	@$(PIP) --require-hashes -r $(LOCK)
else
	@echo "installing into $(VENV): torch from $(TORCH_INDEX), not checked against the hashes of the lock"
	@awk '/^[a-z0-9]/ { keep = $$0 !~ /^($(TORCH_PARTS))==/ } keep' $(LOCK) > $(VENV)/without-torch.lock
	@$(PIP) --require-hashes -r $(VENV)/without-torch.lock
	@$(PIP) --index-url $(TORCH_INDEX) "$(TORCH_PIN)"
endif
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
