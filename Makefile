# One door for people and for machines: `make` alone lists what there is.
# Everything happens in .venv, made here from pinned versions; no activated environment is needed.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Links that give checkers and editors the layers under the name that they install with.
NAMES := build/names/ackbook
PIP := $(BIN)/python -m pip install --constraint constraints.txt
# Tests wait for programs more than they compute, so there are more of them at a time than cores.
WORKERS ?= 4
ROUNDS ?= 200
RESTORES ?= 100
HISTORIES ?= 20000
CASES ?= 20000

.PHONY: help demo test coverage lint bench crash restore long histories damage planted lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-11s %s\n", $$1, $$2 }'

demo: $(READY) ## the whole story on real programs, in under two minutes, proofs included
	@$(BIN)/python -m ackbook.tools.demo

test: $(READY) ## run every test
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

coverage: $(READY) ## run every test and report the lines that none of them reaches
	@rm -rf build/coverage && mkdir -p build/coverage
	-$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadgroup
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

lint: $(READY) ## ruff and mypy, as the tests ask for them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## every figure, as a ratio in the same run, into build/bench.json; QUICK=1: in 3 min
	@test -e build/.bench || { $(PIP) --group bench > build/bench-setup.log 2>&1 && touch build/.bench; } || \
	  { cat build/bench-setup.log >&2; exit 1; }
	@tests/bench/peers/fetch.sh
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick)

crash: $(READY) ## kill real brokers at random moments, ROUNDS=200 times
	$(BIN)/python -m tests.runtime.campaign --rounds $(ROUNDS)

restore: $(READY) ## put copies of the journal back under living agents, RESTORES=100 times
	$(BIN)/python -m tests.runtime.restore_campaign --rounds $(RESTORES)

long: $(READY) ## ten million records: time, CPU and memory of all that is done to them; 8 GB of disk
	@$(BIN)/python -m tests.bench.long

histories: $(READY) ## crash journals on a simulated disk, alone and under holders, HISTORIES=20000 times
	$(BIN)/python -m tests.journal.campaign --histories $(HISTORIES)
	$(BIN)/python -m tests.runtime.living_histories --histories $(HISTORIES)

damage: $(READY) ## damage journals at random and start on each, CASES=20000 times
	$(BIN)/python -m tests.runtime.damage --cases $(CASES)

planted: $(READY) ## journals of three bugs, in build/planted: for trying how one is found
	@rm -rf build/planted
	@$(BIN)/python -m tests.decisions.planted build/planted

# The build backend is pinned like everything else, so the build is not isolated from .venv.
# What pip says is kept in a file and shown only when it fails.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "ackbook needs Python 3.11 or newer, and '$(PYTHON)' is missing or older;" \
	  "name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "setting up .venv (pinned versions, once)"
	@$(PYTHON) -m venv .venv || { echo \
	  "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@mkdir -p build && { $(PIP) --upgrade pip setuptools && \
	  $(PIP) --no-build-isolation --group dev --editable '.[fast]'; } > build/setup.log 2>&1 || \
	  { cat build/setup.log >&2; exit 1; }
	@rm -rf $(NAMES) && mkdir -p $(NAMES)
	@ln -s $(addprefix ../../../tools/package/,__init__.py __main__.py py.typed) \
	  $(addprefix ../../../,journal projections broker tools) $(NAMES)
	@touch $@

lock: ## resolve the newest versions anew and pin them in constraints.txt
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --upgrade pip setuptools
	@build/lock/bin/python -m pip install --quiet --group dev --group bench '.[fast]'
	@{ echo "# Every version that .venv is made of, written by 'make lock'; not edited by hand."; \
	   build/lock/bin/python -m pip freeze --all --exclude ackbook; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt && rm -rf build/lock build/lib build/bdist.*
	@echo "constraints.txt: $$(grep -c == constraints.txt) versions pinned"

clean: ## remove what was built and what is cached
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
