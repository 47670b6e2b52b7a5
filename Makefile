# make demo: a simulated tissue, vendor folder in, report out.   make test: everything CI runs.   make lint: style.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CORES ?= 2
export OMP_NUM_THREADS ?= 1
export UV_FIND_LINKS := $(PIP_FIND_LINKS)

.PHONY: demo test test-slurm lint real benchmark clean

demo: $(INSTALLED)
	@$(call run_here,$(CORES))
	@echo; echo "Report: $(CURDIR)/results/report/index.html"

test: $(INSTALLED)
	@bash tests/install_browser.sh
	$(BIN)/python -m pytest -n $(CORES) --ignore tests/workflow --ignore tests/real --ignore tests/slurm --durations=5
	@# Whole runs come one after the other: each keeps all cores busy by itself.
	$(BIN)/python -m pytest tests/workflow tests/real tests/slurm --durations=10

# Brings up a real SLURM on this host, as root on Debian (it installs packages), and strikes it; elsewhere it says why not.
test-slurm: $(INSTALLED)
	TISSUEMAKE_SLURM=1 $(BIN)/python -m pytest tests/slurm/test_faults.py tests/slurm/test_cohort.py -rs --durations=10

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# Real data sets: make real DATA=folder. The table it prints is the one in tests/real/README.md.
real: $(INSTALLED)
	TISSUEMAKE_DATA=$(abspath $(DATA)) $(BIN)/python tests/real/run.py --cores $(CORES)

# How good and how fast deconvolution is, beside baselines: make benchmark DATA=folder OPTIONS="--seeds 1 --tests starmap".
benchmark: DATA ?= ../shared/data
benchmark: $(INSTALLED)
	OMP_NUM_THREADS=$(CORES) $(BIN)/python tests/benchmarks/deconvolution.py --data $(abspath $(DATA)) $(OPTIONS)

clean:
	rm -rf results logs benchmarks .snakemake

# Only one run works in this folder at a time, so a lock that a killed run left behind can be taken away.
run_here = mkdir -p .snakemake && exec 9>.snakemake/make.lock && \
	{ flock -n 9 || { echo "Another 'make demo' is running in this folder; wait for it to end."; exit 1; }; } && \
	{ [ -z "$$(ls -A .snakemake/locks 2>/dev/null)" ] || $(BIN)/snakemake --unlock --quiet; } && \
	$(BIN)/snakemake --cores $(1)

$(INSTALLED): requirements.lock pyproject.toml
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@# The wheels of PIP_FIND_LINKS may hold a build of torch without CUDA, which satisfies the lock's version.
	$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@
