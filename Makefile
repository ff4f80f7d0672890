# make demo   the whole job against a pretend Vonage, with real audio; in a terminal it serves until Ctrl-C
# make test   everything that must hold
# make everything  that and what takes longer: images, Debian from nothing, lowest versions, storms, benchmarks (an hour)
# make quick  the tests that need no whole deployment
# make bench  measured beside the alternatives, into docs/benchmarks.md (25 minutes, on a machine at rest)
# make conformance  the JSON API against its own document (two minutes)
# make api-docs  docs/api.md anew, after an operation has changed
# make settings-docs  the table of docs/settings.md anew, after a setting has changed
# make chaos  everything is killed at random, then asked at random: what is lost, what fails (an hour or more)
# make lock   pin the dependencies anew
# make lowest the quick tests with the lowest versions that pyproject.toml allows
# make pythons  the quick tests on every Python that is here, 3.11 to 3.14
# make sbom   a bill of materials of what is deployed, in build/sbom.json
# make licences  docs/licences.md anew, after a dependency has come or gone
# make schemas  the present schema with rows of every state, as a fixture for the next releases
# make vendor bring the files of others along anew, after a version in a vendor/package.json has changed
# make screenshots  the pictures of the pages in docs/images, anew

SHELL := /bin/bash
BIN := .venv/bin
# The lists are whole, so pip has nothing to resolve: an old one may reach for a newer release that no list knows.
INSTALL := install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps

.PHONY: demo test everything quick lint check bench conformance api-docs settings-docs chaos lock lowest pythons sbom licences schemas \
        vendor screenshots clean

demo: .venv/runtime
	@$(BIN)/python -m simulator.demo

test: lint build/azurite
	@$(BIN)/python -m pytest -n auto $(PYTEST)

# One after the other: each of them uses the whole machine.
everything: CHAOS ?= --recordings 2000 --kills 200 --fuzz 20000
everything: test conformance
	@$(BIN)/python -m pytest tests --long -m long $(PYTEST)
	@$(MAKE) --no-print-directory lowest
	@$(BIN)/python tests/chaos/run.py $(CHAOS)
	@$(MAKE) --no-print-directory bench

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

settings-docs: .venv/dev
	@$(BIN)/python -m tests.docs.settings_table

chaos: .venv/dev
	@$(BIN)/python tests/chaos/run.py $(CHAOS)

.venv/runtime: requirements.txt | .venv/bin/python
	@echo "Installing what the app needs into .venv (once) …"
	@$(BIN)/pip $(INSTALL) -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt | .venv/bin/python
	@echo "Installing what the tests need into .venv (once) …"
	@$(BIN)/pip $(INSTALL) -r requirements-dev.txt
	@touch $@ .venv/runtime

.venv/bench: requirements-bench.txt | .venv/bin/python
	@echo "Installing what the benchmarks need into .venv (once) …"
	@$(BIN)/pip $(INSTALL) -r requirements-bench.txt
	@touch $@

# In a virtual environment of its own: the application's must not hold its many packages.
build/schemathesis: tests/schemathesis/requirements.txt | .venv/bin/python
	@echo "Installing schemathesis into build/ (once) …"
	@rm -rf $@ && $(BIN)/python -m venv $@
	@$@/bin/pip $(INSTALL) -r $<
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

licences: .venv/dev
	@$(BIN)/python -m tests.supply.licences

schemas: .venv/dev
	@$(BIN)/python -m tests.fixtures.schemas.make

# --- Other versions than those that are pinned, each in a virtual environment of its own -------------------------------

lowest: build/lowest
	@$</bin/python -m pytest -n auto -m "not slow" $(PYTEST)

# One that is missing is skipped; `uv python install 3.14` brings it where its downloads can be reached.
PYTHONS := 3.11 3.12 3.13 3.14
pythons: $(PYTHONS:%=python-%)

.PHONY: $(PYTHONS:%=python-%)
$(PYTHONS:%=python-%): python-%: .venv/dev
	@$(BIN)/uv python find --quiet $* >/dev/null 2>&1 || { echo "Python $* is not here: skipped."; exit 0; } \
	  && $(MAKE) --no-print-directory build/python-$* && build/python-$*/bin/python -m pytest -n auto -m "not slow" $(PYTEST)

build/lowest: requirements-lowest.txt | .venv/dev
	@echo "Installing the lowest versions into $@ (once) …"
	@$(BIN)/uv venv --quiet --clear --python 3.11 $@
	@$(BIN)/uv pip install --quiet --python $@/bin/python --require-hashes --no-deps -r $<
	@touch $@

build/python-%: requirements-dev.txt | .venv/dev
	@echo "Installing what the tests need into $@ (once) …"
	@$(BIN)/uv venv --quiet --clear --python $* $@
	@$(BIN)/uv pip install --quiet --python $@/bin/python --require-hashes --no-deps -r $<
	@touch $@

build/runtime: requirements.txt | .venv/bin/python
	@echo "Installing what is deployed, and nothing else, into $@ (once) …"
	@rm -rf $@ && $(BIN)/python -m venv --without-pip $@
	@$(BIN)/pip --python $@/bin/python $(INSTALL) -r $<
	@touch $@

build/cyclonedx: tests/supply/sbom.txt | .venv/bin/python
	@echo "Installing cyclonedx-py into build/ (once) …"
	@rm -rf $@ && $(BIN)/python -m venv $@
	@$@/bin/pip $(INSTALL) -r $<
	@touch $@

sbom: build/runtime build/cyclonedx
	@build/cyclonedx/bin/cyclonedx-py environment --output-reproducible --spec-version 1.6 --mc-type application \
	  --pyproject pyproject.toml --output-file build/sbom.json build/runtime/bin/python
	@echo "build/sbom.json: $$($(BIN)/python -c 'import json; print(len(json.load(open("build/sbom.json"))["components"]))') packages"

# uv compiles; pip installs. No index address is written into the pins.
UV := $(if $(wildcard $(BIN)/uv),$(abspath $(BIN)/uv),uv)
LOCK := $(UV) pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml
lock:
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv, or make .venv/dev" >&2; exit 1; }
	$(LOCK) -o requirements.txt
	$(LOCK) --extra dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) --extra dev --extra bench -c requirements-dev.txt -o requirements-bench.txt
	$(LOCK) --extra dev --resolution lowest-direct -o requirements-lowest.txt
	$(subst pyproject.toml,tests/schemathesis/requirements.in,$(LOCK)) -o tests/schemathesis/requirements.txt
	$(subst pyproject.toml,tests/supply/sbom.in,$(LOCK)) -o tests/supply/sbom.txt

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
