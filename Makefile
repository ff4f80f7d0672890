# make demo   the whole job against a pretend Vonage, with real audio; in a terminal it serves until Ctrl-C
# make test   everything that must hold
# make quick  the tests that need no whole deployment
# make bench  measured beside the alternatives, into docs/benchmarks.md (25 minutes, on a machine at rest)
# make conformance  the JSON API against its own document (two minutes)
# make api-docs  docs/api.md anew, after an operation has changed
# make chaos  everything is killed at random, then asked at random: what is lost, what fails (an hour or more)
# make lock   pin the dependencies anew
# make vendor bring the files of others along anew, after a version in a vendor/package.json has changed
# make screenshots  the pictures of the pages in docs/images, anew

SHELL := /bin/bash
BIN := .venv/bin
# The lists are whole, so pip has nothing to resolve: an old one may reach for a newer release that no list knows.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps

.PHONY: demo test quick lint check bench conformance api-docs chaos lock vendor screenshots clean

demo: .venv/runtime
	@$(BIN)/python -m simulator.demo

test: lint build/azurite
	@$(BIN)/python -m pytest -n auto $(PYTEST)

quick: .venv/dev
	@$(BIN)/python -m pytest -n auto -m "not slow" $(PYTEST)

lint: .venv/dev
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . && echo "ruff: clean"
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo | tail -n 2

check: test

bench: .venv/bench build/azurite
	@$(BIN)/python -m bench $(BENCH)

conformance: .venv/dev build/schemathesis
	@$(BIN)/python -m tests.schemathesis.run

api-docs: .venv/dev
	@$(BIN)/python -m console.api.reference

chaos: .venv/dev
	@$(BIN)/python tests/chaos/run.py $(CHAOS)

.venv/runtime: requirements.txt | .venv/bin/python
	@echo "Installing what the app needs into .venv (once) …"
	@$(PIP) -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt | .venv/bin/python
	@echo "Installing what the tests need into .venv (once) …"
	@$(PIP) -r requirements-dev.txt
	@touch $@ .venv/runtime

.venv/bench: requirements-bench.txt | .venv/bin/python
	@echo "Installing what the benchmarks need into .venv (once) …"
	@$(PIP) -r requirements-bench.txt
	@touch $@

# In a virtual environment of its own: the application's must not hold its many packages.
build/schemathesis: tests/schemathesis/requirements.txt | .venv/bin/python
	@echo "Installing schemathesis into build/ (once) …"
	@rm -rf $@ && $(BIN)/python -m venv $@
	@$@/bin/pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps -r $<
	@touch $@

# A real Azure Blob emulator, for which Node.js is needed; without it its tests say that they were skipped.
AZURITE := azurite@3.37.0
build/azurite:
	@if command -v npm >/dev/null; then \
	  echo "Installing $(AZURITE) into build/ (once) …" && mkdir -p build \
	  && npm install --loglevel=error --no-save --no-audit --no-fund --prefix build/azurite.part $(AZURITE) >/dev/null \
	  && mv build/azurite.part build/azurite \
	  || echo "npm could not install it: the tests on Azure's emulator will be skipped."; \
	else echo "Node.js is missing: the tests on Azure's emulator will be skipped."; fi

# The first Python on the path that is new enough and can make a virtual environment.
.venv/bin/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    && exec $$python -m venv .venv; \
	done; \
	echo "Tapekeeper needs Python 3.11 or newer with its venv module: install it (Debian, Ubuntu: apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	exit 1

# uv compiles; pip installs. No index address is written into the pins.
LOCK := uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml
lock:
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(LOCK) -o requirements.txt
	$(LOCK) --extra dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) --extra dev --extra bench -c requirements-dev.txt -o requirements-bench.txt
	$(subst pyproject.toml,tests/schemathesis/requirements.in,$(LOCK)) -o tests/schemathesis/requirements.txt

# The locks hold hashes and no address; nothing of what is fetched is run.
vendor:
	@set -e; for folder in console/static/vendor console/static/swagger-ui tests/browser/vendor; do \
	  work=$$(mktemp -d) && cp $$folder/package.json $$folder/package-lock.json $$work; \
	  (cd $$work && npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --loglevel=error \
	    && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >/dev/null; \
	  while read -r name path; do cp "$$work/node_modules/$$path" "$$folder/$$name"; done <$$folder/FILES; \
	  cp $$work/package-lock.json $$folder; rm -rf $$work; \
	  (cd $$folder && rm -f SHA256SUMS && LC_ALL=C sha256sum -- * >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS); \
	done

screenshots: .venv/dev
	@$(BIN)/python -m tests.browser.screenshots

clean:
	rm -rf .venv build var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
