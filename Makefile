# make study                             the study of config.yaml -> results/<pair>/report/report.html
# make study CONFIG=configs/narrow.yaml  another study, laid over it
# make install                           .venv with the pinned dependencies; study and test do it when needed
# make test, make check                  tests; formatting, lint and types
# make ui                                the study's runs, in a browser
# make bench-env                         .venv-bench with the packages that the benchmarks compare with
# make lock                              pin the newest versions that pyproject.toml allows

PYTHON ?= python3
CONFIG ?=
READY := .venv/.crossdiff-ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: study install test check ui lock bench-env

study: $(READY)
	@crossdiff check $(CONFIG)
	$(if $(CONFIG),snakemake --configfile config.yaml $(CONFIG),dvc repro)

install: $(READY)

test: $(READY)
	pytest -n 2 --dist loadgroup

check: $(READY)
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile workflow
	mypy

ui: $(READY)
	mlflow ui --backend-store-uri sqlite:///mlflow.db

lock: $(READY)
	echo torch==2.13.0 | uv pip compile pyproject.toml --extra dev --extra slurm --universal --upgrade --no-annotate --no-header \
		--constraint - --output-file constraints.txt --quiet

bench-env:
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --constraint constraints.txt --constraint benchmarks/peers.txt --editable '.[dev,bench]'
	.venv-bench/bin/python -m pip install --no-deps --constraint benchmarks/peers.txt \
		dictionary-learning eai-sparsify nnsight sae-lens transformer-lens

# Made anew only when what is to be installed changes.
$(READY): pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@
