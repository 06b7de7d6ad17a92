# The commands of this repository. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: setup run cluster test soak fuzz check bench samples screenshots help

setup: ## make or update .venv; silent when nothing changed (PYTHON=python3.12 chooses the interpreter)
	@scripts/setup.sh

run: ## a simulated day of 200 agents, published and served (DATA=directory keeps it; PORT=8080)
	@scripts/run.sh

cluster: setup ## PostgreSQL, an S3 server, 3 servers and 2 publishers with a simulated load (SPARK=1: and Spark); Ctrl-C ends it
	@scripts/debian.sh ceph-mon ceph-osd ceph-common radosgw curl
	@$(if $(SPARK),scripts/spark.sh install)
	@PYTHONPATH=tests .venv/bin/python -m cluster.bed build/cluster $(if $(SPARK),--spark)

test: ## the tests, without the long forms (ARGS='tests/test_names.py -x' goes to pytest)
	@scripts/test.sh $(ARGS)

soak: setup ## the tests' long forms only (ARGS as above)
	@.venv/bin/pytest -m soak -v $(ARGS)

fuzz: setup ## fuzz what reads the bytes of others, 10 minutes a target (SECONDS_EACH=60; ONLY=name for one)
	@scripts/fuzz.sh

check: setup ## format, lint, check types
	@.venv/bin/ruff format .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

bench: setup ## measure against peers (ONLY=name for one question, SIZE=0.1 for a tenth of the data)
	@scripts/debian.sh nginx-light curl || true
	@scripts/spark.sh install || true
	@.venv/bin/python bench/run.py $(ONLY)

samples: setup ## draw the pictures of the documentation again (docs/images)
	@.venv/bin/python scripts/samples.py

screenshots: setup ## take the pictures of the pages again (docs/images/pages-*.png)
	@scripts/browser.sh
	@.venv/bin/python scripts/screenshots.py

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
