# Two commands do all the set-up: `make demo` and `make test`.
VENV := .venv
PYTHON := $(VENV)/bin/python
DEMO := demo
export RAY_USAGE_STATS_ENABLED := 0
export PYTHONWARNINGS := ignore::FutureWarning
unexport PYTHONDONTWRITEBYTECODE

.PHONY: paper_size mutants coverage demo test bench check env tables search scale figures lock clean chaos

env: $(VENV)/.stamp

# uv is taken as it is found, otherwise from the registry through pip.
$(VENV)/.stamp: requirements.txt pyproject.toml
	@command -v uv >/dev/null 2>&1 || python3 -m pip install --quiet --user uv || python3 -m pip install --quiet --break-system-packages uv
	@uv="$$(command -v uv || echo 'python3 -m uv')"; \
	$$uv venv --quiet --allow-existing --python 3.11 $(VENV) && \
	$$uv pip install --quiet --compile-bytecode --python $(PYTHON) --requirement requirements.txt && \
	$$uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $@

# The main job on generated data: local Ray, MLflow on SQLite, the report at the end.
demo: env
	$(PYTHON) study/run.py --space demo --profile generated --storage $(DEMO)

# Every table of the paper on generated data, in one storage, in small: that all runs and what is shared, not who is best.
TABLES := table1_ucf101 table1_pahmdb51 table1_vphmdb51 table2_hmdb51 table2_pahmdb51 table2_vispr2 table2_vpucf101 \
	ablation_B ablation_lambda table5_action_backbones table6_raw_attacker table7_privacy_backbones \
	table8_privacy_backbones_imagenet
tables: env
	for space in $(TABLES); do $(PYTHON) study/run.py --space $$space --profile generated --attacks none --storage tables || exit 1; done
	$(PYTHON) -m analysis tables --table all --profile generated --tracking-uri sqlite:///tables/mlflow.db

# Searches, early stopping and a dial against a grid, for equal seconds of computing (the figure of the README).
search: env
	$(PYTHON) tests/benchmarks/search.py --storage search --picture analysis/pictures/search.png

# Studies while workers, nodes, driver, head, MLflow and storage die, without and with early stopping, and an archive of videos
# (the tables of the README).
chaos: env
	$(PYTHON) tests/chaos
	$(PYTHON) tests/chaos --stop-early
	$(PYTHON) tests/chaos --archive

# The tables and pictures of the READMEs, each by its own command; hours, and it continues where it stopped.
figures: env
	$(PYTHON) -m tests.figures

# What 1,000 trials cost the driver (the tables of the README; every trial only sleeps), 10,000 files of an archive, and what
# S3 is asked.
scale: env
	$(PYTHON) -m tests.benchmarks.growth
	$(PYTHON) -m tests.benchmarks.archive
	$(PYTHON) -m tests.benchmarks.requests_s3
	$(PYTHON) tests/benchmarks/scale.py --folder scale

# How fast the parts are against what they are measured with (the tables of the README), on a machine that does nothing else.
bench: env
	OMP_NUM_THREADS=1 $(PYTHON) -m tests.benchmarks.speed --out bench.json

# One whole trial at the paper's size, a step or two a stage, with the seconds and the memory of each (the table of the README).
paper_size: env
	$(PYTHON) -m tests.benchmarks.paper_size --storage paper_size

# Wrong behaviours, planted one at a time: are they noticed? It goes on where it stopped.
mutants: env
	$(PYTHON) -m tests.mutants --storage mutants --jobs 2

# How often intervals hold the truth and controls err (the table in trainables/attacks/README.md).
coverage: env
	OMP_NUM_THREADS=1 $(PYTHON) -m tests.benchmarks.coverage --out coverage.md

test: env
	$(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: env
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# After a change of the dependencies in pyproject.toml: pins all of them again.
lock:
	uv pip compile --quiet --python-version 3.11 --extra dev --extra attackers --no-annotate --no-header --no-emit-index-url pyproject.toml --output-file requirements.txt

clean:
	rm -rf $(VENV) $(DEMO) paper_size tables search scale figures
