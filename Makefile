# Everything from a bare machine: Python 3.11 or newer, pip and make.
#   make demo    install, render a synthetic barn, train on it, report
#   make test    install, run the whole test suite
#   make test-fast   the same without what takes longer than some seconds
#   make check   style, types, layers, doctests
#   make platforms   see that every kind of machine gets all it needs from wheels
#   make lowest  run the quick tests with the oldest versions that pyproject.toml allows, without torch
#   make reference   write the tables of settings in docs/reference.md anew
#   make catalogue   find new messages for the translators, compile what is translated

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast check platforms lowest catalogue reference clean
.DELETE_ON_ERROR:

demo: $(VENV)/.train
	$(BIN)/certero demo

# Two processes: many tests wait, for a process that they started or for a clock. A file stays in one of them, so that what its
# tests share is made once. More than two processes want a gigabyte each.
WORKERS ?= 2
SUITE := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

test: $(VENV)/.dev
	$(SUITE)

test-fast: $(VENV)/.dev
	$(SUITE) -m 'not slow'

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q --doctest-modules src

platforms: $(VENV)/.dev
	$(BIN)/python tests/platforms.py

LOWEST := .venv-lowest
# What meets the libraries: photos, tables, fits, figures, the model file, the report. `make test` has the rest.
QUICK := ./language cli/predict pipelines/audit photos/pixels photos/resizing probe/probe project/parts report/report runtime/model_file \
  data/scan data/split stats/calibration stats/intervals stats/paired stats/scores
lowest: $(VENV)/.dev
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST) --resolution lowest-direct --only-binary :all: --no-binary certero --editable '.[test]'
	$(LOWEST)/bin/python -m pytest -q $(foreach each,$(QUICK),tests/$(dir $(each))test_$(notdir $(each)).py)

# The tables of settings in the reference, from where the settings are written.
reference: $(VENV)/.dev
	$(BIN)/python -m certero.config.reference docs/reference.md

# New messages appear in the .po files with an empty msgstr; translate them there and run this again.
LOCALE := src/certero/locale
# What marks a message: functions of `certero.sentences`, and the errors, whose first argument is one.
MARKS := message sentence:1 sentences:1,2 \
  CerteroError ConfigError DataError InputError MissingExtra ModelFileError OutputError PhotoError ProblemFound \
  RequirementNotMet SeriousFindings SplitError TrainingError UnreadablePhotos UserError _Occupied
catalogue: $(VENV)/.dev
	$(BIN)/pybabel --quiet extract --mapping babel.cfg --keywords '$(MARKS)' --add-location file \
	  --sort-by-file --project certero --version 1 --copyright-holder 'the certero authors' --output $(LOCALE)/certero.pot src/certero
	$(BIN)/pybabel --quiet update --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --domain certero --input-file $(LOCALE)/certero.pot --output-dir $(LOCALE)
	$(BIN)/pybabel --quiet compile --domain certero --directory $(LOCALE)

# One file a set of extras; a changed pyproject.toml installs again. Not compiled: Python does that as it imports, and of what is
# installed the demo imports little; it halves the installation.
$(VENV)/.train: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[train]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.train

# Some systems ship Python without the venv module; virtualenv does the same.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "certero needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m pip install --user --quiet virtualenv && $(PYTHON) -m virtualenv $(VENV); }

clean:
	rm -rf .venv .venv-* build dist *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
