# One environment (.venv), made on first use and again only when what it is made from has changed; offline afterwards.
# Settings:  PYTHON (what .venv is made with)   OUT, DATA and BUNDLE (demo)   ARGS (more arguments for pytest), JOBS (its processes)

PYTHON ?= python3
OUT ?= demo_output
DATA ?=
BUNDLE ?= models_genesis_ct
ARGS ?=
JOBS ?= 2

VENV := .venv
RUN := $(VENV)/bin/python
# one thread a process: two processes of two threads each get in each other's way on two cores
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile --durations=15
# The stamp carries a checksum, not a date: a new checkout of the same files installs nothing.
INSTALLED := $(VENV)/installed-$(firstword $(shell cat setup.cfg setup.py pyproject.toml constraints.txt | cksum))

DOCS_INSTALLED := $(subst installed-,docs-,$(INSTALLED))

# MONAI Label needs older packages: an environment of its own
LABEL := .venv-label
LABEL_RUN := $(LABEL)/bin/python
LABEL_INSTALLED := $(LABEL)/installed-$(firstword $(shell cat setup.cfg setup.py pyproject.toml constraints-label.txt | cksum))

.PHONY: help install demo test test-slow test-label label-env lint check bench gpu-check docs docs-serve clean

help:
	@echo "make demo [DATA=folder] [OUT=$(OUT)]   pre-train, fine-tune, segment; on phantoms, or pre-train on DATA"
	@echo "  … BUNDLE=semantic_genesis_ct          likewise, with the discovery of anatomical patterns; or transvw_ct"
	@echo "make test | test-slow                    the suite; with the tests marked slow"
	@echo "make test-label                          MONAI Label's real server and client, in an environment of their own"
	@echo "make lint | check                        formatting, lint and types; then the suite too"
	@echo "make bench                               the programs in benchmarks/ that take minutes, not those that take an hour"
	@echo "make gpu-check                           what only a GPU can show, in one table: equality, speed, precision, NCCL (10 minutes)"
	@echo "make docs | docs-serve                   the documentation, into site/; shown while it is written"
	@echo "make install | clean                     the environment alone; remove what was built, keep .venv and results"

install: $(INSTALLED)

$(INSTALLED):
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@rm -f $(VENV)/installed-*
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(RUN) -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[docs]'
	@rm -f $(VENV)/docs-*
	@touch $@

demo: $(INSTALLED)
	$(RUN) -m medgenesis demo "$(OUT)" --bundle $(BUNDLE) $(if $(DATA),--data "$(DATA)")

test: $(INSTALLED)
	$(PYTEST) $(ARGS)

test-slow: $(INSTALLED)
	$(PYTEST) --slow $(ARGS)

label-env: $(LABEL_INSTALLED)

# Nothing is resolved: constraints-label.txt names every package, but for those that torch itself needs on a GPU.
# torchvision of PyPI is built for CUDA, and does not load beside a CPU build of torch: the tests then declare what is lacking
$(LABEL_INSTALLED):
	@$(LABEL_RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(LABEL)
	$(LABEL_RUN) -m pip install --disable-pip-version-check -q -c constraints-label.txt torch torchvision
	$(LABEL_RUN) -m pip install --disable-pip-version-check -q --no-deps -r constraints-label.txt -e .
	@$(LABEL_RUN) -c 'import torchvision' >/dev/null 2>&1 || $(LABEL_RUN) tests/helpers/torchvision_beside_cpu_torch.py install
	@rm -f $(LABEL)/installed-*
	@touch $@

test-label: $(LABEL_INSTALLED)
	OMP_NUM_THREADS=1 $(LABEL_RUN) -m pytest -q --durations=10 -p no:cacheprovider tests/label_app $(ARGS)
	OMP_NUM_THREADS=1 $(LABEL_RUN) -m pytest -q -p no:cacheprovider tests/io -k dicom

lint: $(INSTALLED)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(VENV)/bin/ty check --python $(VENV) --error-on-warning

check: lint
	$(PYTEST) $(ARGS)

# those that need no data and take minutes; the others say in their first lines what they need
BENCHES = import_time learning_rates loader mined_anatomy mining screening steps steps_25d steps_3d transfer_study transforms

bench: $(INSTALLED)
	@set -e; for name in $(BENCHES); do echo "== $$name"; $(RUN) benchmarks/$$name.py; done

gpu-check: $(INSTALLED)
	$(RUN) benchmarks/gpu_check.py

# NO_MKDOCS_2_WARNING: a notice about the next major version of MkDocs, which setup.cfg excludes
docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet --site-dir site

docs-serve: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs serve

clean:
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache
	find medgenesis transforms bundles tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
