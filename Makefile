# One command for each thing a person wants.  `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

# What pip does, a line for each package: an install of a minute that says nothing looks as if it hangs.
TELL := sed -un 's/^Collecting \([A-Za-z0-9._-]*\).*/  fetching \1/p; s/^Installing collected.*/  installing …/p'

.DEFAULT_GOAL := help
.PHONY: kafka-check cluster-demo pictures help demo install test test-unit bench bench-quick chaos clouds fuzz soak kills compose-test package-test grafana-check improve models generated check format release clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(VENV)/made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 …'; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo 'Python cannot make an environment: install its venv module (Debian: apt install python3-venv)'; exit 1; }
	@echo 'Making the environment $(VENV) …'
	@$(PYTHON) -m venv $(VENV)
	@{ $(BIN)/pip install --disable-pip-version-check -c constraints.txt -e .; echo $$? > $(VENV)/pip-ended; } | $(TELL); \
		exit $$(cat $(VENV)/pip-ended)
	@touch $@

$(VENV)/made-test: $(VENV)/made
	@echo 'Installing what the tests need …'
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

install: $(VENV)/made ## make the environment and install the project into it

demo: $(VENV)/made ## a connected factory, end to end, in this terminal (ARGS="--speed 10" …)
	@$(BIN)/gateway demo $(ARGS)

test: $(VENV)/made-test ## everything: style, types, all tests (installs the peers they need)
	@sh tests/install-peers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@# Types are checked beside the tests, whose processors idle now and then, and are told after them.
	@# Tests run in the order of the tree, in which what takes longest comes first; three at once on two cores, as a third
	@# of the time is waiting.
	@mkdir -p var; $(BIN)/mypy >var/types.txt 2>&1 & types=$$!; trap "kill $$types 2>/dev/null" EXIT; \
		$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS); failed=$$?; \
		wait $$types || failed=1; cat var/types.txt; exit $$failed

test-unit: $(VENV)/made-test ## the fast part of the tests
	@$(BIN)/python -m pytest -q tests/unit -m "not slow" -n auto $(ARGS)

chaos: $(VENV)/made-test ## a long campaign of faults (ARGS="--faults 200 --seed 7", "--commands 500", "--sparkplug 100", "--group 100"), and its verdict
	@sh tests/install-peers
	@$(BIN)/python -m tests.chaos.campaign $(ARGS)

cluster-demo: $(VENV)/made-test ## a group on this machine: three NATS nodes, three members, three factories; kill any (ARGS="--seconds 60")
	@$(BIN)/python -W ignore -m tests.cluster_demo $(ARGS)

soak: $(VENV)/made-test ## load for hours with plugs pulled (ARGS="--minutes 120 --report var/soak"), and its verdict
	@sh tests/install-peers
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

kills: $(VENV)/made-test ## kill -9 of the gateway under load (ARGS="--kills 200 --seed 7"), and its verdict
	@sh tests/install-peers
	@$(BIN)/python -m tests.chaos.kills $(ARGS)

clouds: $(VENV)/made-test ## a plant against every emulated cloud, with faults (ARGS="--plants 122"), and its verdict
	@$(BIN)/python -m tests.chaos.clouds $(ARGS)

fuzz: $(VENV)/made-test ## coverage-guided fuzzing (ARGS="--seconds 300 publish mqtt"); needs a wheel of atheris
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

bench: $(VENV)/made-test ## what a value costs from OPC UA to MQTT, beside other programs: everything, hours (ARGS="--help")
	@sh tests/install-peers
	@$(BIN)/python -m tests.bench.chain --all --rounds 3 $(ARGS)

bench-quick: $(VENV)/made-test ## the ratios that matter, beside the recorded ones: three minutes
	@sh tests/install-peers
	@$(BIN)/python -m tests.bench.chain --quick $(ARGS)

improve: $(VENV)/made ## what better decisions win in each plant, from its messages alone, and beside random guesses (10 minutes)
	@$(BIN)/simulators improve config/plants/brownfield.yaml --picture var/improve/brownfield.svg
	@for plant in plant munich seattle machining-cell smt end-of-line marriage paint body-shop bottling reference-line plant-50; do \
		$(BIN)/simulators improve $$plant --seeds 5 --days 2 --guesses 4 --picture var/improve/$$plant.svg; done

compose-test: $(VENV)/made-test ## the docker compose stack in real containers: a plant lives, a broker is pulled (root, minutes)
	@COMPOSE_TEST=1 $(BIN)/python -m pytest tests/e2e/test_compose.py $(ARGS)

package-test: $(VENV)/made-test ## a release installed for real: Debian package under systemd, image, bill of materials (root, 10 minutes)
	@$(MAKE) --no-print-directory release ARGS="--dry-run --dist var/package" || test -f var/package/*.deb
	@PACKAGE_TEST=$(CURDIR)/var/package $(BIN)/python -m pytest tests/e2e/test_package.py $(ARGS)

grafana-check: ## ask a real Grafana whether it takes the dashboards (needs docker and its registry)
	@docker/grafana/check

pictures: $(VENV)/made-test ## take the pictures of the README anew, from a live run (10 minutes)
	@sh tests/install-peers
	@$(BIN)/python -W ignore -m tests.pictures.take $(ARGS)

models: $(VENV)/made-test ## the models of all shipped plants, read by the libraries of others: minutes
	@sh tests/install-peers
	@MODELS=all $(BIN)/python -m pytest tests/contract/modelling $(ARGS)

kafka-check: $(VENV)/made-test ## ask a real cluster of Kafka (ARGS="--bootstrap host:9092")
	@$(BIN)/python -m tests.support.kafka_check $(ARGS)

generated: $(VENV)/made-test ## write dashboards, alerts and the references of metrics and configuration anew
	@$(BIN)/python -W ignore -m docker.grafana.make
	@$(BIN)/python docker/prometheus/rules.py
	@$(BIN)/python docker/prometheus/reference.py
	@$(BIN)/python -m gateway.web.reference > docs/api.md
	@$(BIN)/python -m release.reference > config/reference.md
	@$(BIN)/python -m docker.helm.render

check: $(VENV)/made-test ## style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/made-test ## put the code into the project's style
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

release: ## build wheel, source, Debian package, notes, bill of materials and licences, and tag (ARGS=--dry-run tags nothing)
	@$(PYTHON) -m venv var/release
	@var/release/bin/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25' 'build>=1.2'
	@var/release/bin/python -m release $(ARGS)

clean: ## remove what was made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
