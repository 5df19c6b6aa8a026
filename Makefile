# Two commands do everything, their own set-up included: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
COMPAT ?= .venv-compat
DEPLOY ?= .venv-deploy
LABEL ?= .venv-label
FUZZ ?= .venv-fuzz
FUZZ_SECONDS ?= 60
# Processes of the tests, one thread of torch each.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
BIN = $(VENV)/bin

.PHONY: demo test quick check format compat fuzz docs zoo deploy label clean

demo: $(VENV)/.installed
	$(BIN)/python -m scripts.demo

test: $(VENV)/.installed
	$(PYTEST)

quick: $(VENV)/.installed
	$(PYTEST) -m "not slow and not gpu"

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m "not slow and not gpu"

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The oldest numpy and pydicom that inference supports (hosts such as MONAI Label pin them).
compat: $(COMPAT)/.installed
	$(PYTEST:$(BIN)/%=$(COMPAT)/bin/%) -m "not slow and not gpu and not train"

# Every reader of a file on files that nobody meant to be read, FUZZ_SECONDS each; guided by coverage where atheris has a wheel.
fuzz: $(FUZZ)/.installed
	nice -n 15 $(FUZZ)/bin/python -m tests.fuzz.fuzz_readers all --seconds $(FUZZ_SECONDS)

$(VENV)/.installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	touch $@

$(COMPAT)/.installed: requirements-compat.txt
	$(PYTHON) -m venv $(COMPAT)
	$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-compat.txt
	touch $@

# The MONAI Deploy application on INPUT=FOLDER to OUTPUT=FOLDER; without INPUT, on two phantoms that it makes. OPTIONS="--method ttgpr" ...
deploy: $(DEPLOY)/.installed
	$(if $(INPUT),,$(DEPLOY)/bin/python -m scripts.make_phantom --output-dir deploy_output/phantoms --count 2 --height-mm 60 --width-mm 48)
	$(DEPLOY)/bin/python -m scripts.deploy_app --input "$(or $(INPUT),deploy_output/phantoms)" --output "$(or $(OUTPUT),deploy_output/results)" $(OPTIONS)

$(DEPLOY)/.installed: requirements-deploy.txt
	$(PYTHON) -m venv $(DEPLOY)
	$(DEPLOY)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-deploy.txt
	touch $@

# MONAI Label's server of this bundle; `make label STUDIES=FOLDER` starts it.
label: $(LABEL)/.installed
	$(LABEL)/bin/python -m scripts.label_server $(if $(STUDIES),--studies "$(STUDIES)")

# torch with what its build needs, all else as it is pinned.
$(LABEL)/.installed: requirements-label.txt
	$(PYTHON) -m venv $(LABEL)
	$(LABEL)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements-label.txt torch
	$(LABEL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-label.txt
	touch $@

# An environment of its own for atheris, on top of the other.
$(FUZZ)/.installed: $(VENV)/.installed requirements-fuzz.txt
	$(PYTHON) -m venv $(FUZZ)
	$(abspath $(BIN))/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])" > "$$($(FUZZ)/bin/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")/main.pth"
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-fuzz.txt || echo "no atheris for this Python: mutation alone"
	touch $@

# API pages and documents as a site, in build/site.
docs: $(VENV)/.installed
	$(BIN)/python -m mkdocs build --strict

# The folder and zip for MONAI's model zoo.
zoo: $(VENV)/.installed
	$(BIN)/python -m scripts.assemble --output-dir build/zoo

clean:
	rm -rf $(VENV) $(COMPAT) $(DEPLOY) $(LABEL) $(FUZZ) demo_output deploy_output eval mlruns mlruns.db
