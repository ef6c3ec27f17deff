# `make demo` and `make test` are all one needs on a fresh machine with Python 3.11+, git and make.
PYTHON ?= python3
VENV ?= .venv
# The torch to install. On a CUDA machine the package index's own wheel is right; on a Linux machine without a
# GPU, PIP_EXTRA_INDEX_URL can name PyTorch's CPU wheels (see README, Install), which are much smaller.
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo ui check test test-fast test-slow coverage lint types docs docs-serve pictures lock sbom clean
help: ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

install: $(STAMP) ## create the environment in .venv
$(STAMP): pyproject.toml constraints.txt
	@echo "Creating the environment in $(VENV) (a few minutes the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,studio,low-memory,postgres,modal]' -c constraints.txt
	@touch $(STAMP)

demo: $(STAMP) ## the whole pipeline on the packaged starter library: no GPU or token
	@echo "Running the whole pipeline on the starter library"
	$(BIN)/bioicons demo

ui: $(STAMP) ## the Dagster UI, with the history of all earlier runs
	$(BIN)/dagster dev

lint: $(STAMP) ## style, import rules, types, the workspace loads
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory types
	$(BIN)/dagster definitions validate -w workspace.yaml

# Its node is the package index's (pyright[nodejs]); the variable keeps it from asking for a newer version.
types: $(STAMP) ## static types (a minute)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

check: test ## all that CI runs, under the name that contributors look for

test: lint docs ## what CI runs
	$(BIN)/python -m pip check
	$(BIN)/python -m pytest -n 2 -m "not slow" --durations=10

test-fast: $(STAMP) ## the tests that take seconds
	$(BIN)/python -m pytest -n 2 -q -m "not slow and not costly"

coverage: $(STAMP) ## what CI runs, with coverage: a table, and htmlcov/
	$(BIN)/python -m pytest -n 2 -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html

docs: $(STAMP) ## the documentation site in site/, with strict links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(STAMP) ## the documentation while one writes it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

pictures: $(STAMP) ## every figure and screenshot anew, from runs of its own (half an hour)
	$(BIN)/python docs/make_pictures.py

test-slow: $(STAMP) ## the long tests
	$(BIN)/python -m pytest -m slow

lock: $(STAMP) ## deploy/aws/requirements.lock from constraints.txt, with hashes (asks the package index)
	$(BIN)/uv pip compile pyproject.toml deploy/aws/builder.in -c constraints.txt \
		--extra low-memory --extra postgres \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --upgrade --quiet -o deploy/aws/requirements.lock

sbom: $(STAMP) ## what the images of deploy/aws hold of Python packages, as sbom.json (CycloneDX)
	$(BIN)/cyclonedx-py requirements deploy/aws/requirements.lock --pyproject pyproject.toml \
		--output-reproducible --of JSON -o sbom.json

clean: ## remove the environment (data/ stays)
	rm -rf $(VENV)
