# Everything this project does on one Linux machine (Debian 12, root). `make help` lists the targets.
# Python packages go to .venv, everything that is slow to build to .cache; Debian packages are installed by tests/host-packages.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
PYTHON ?= python3.11
# Where the CPU build of PyTorch is found when pip of this machine knows no other place (its configured find-links go first).
export TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

VENV := .venv
GROUND := tests/ground/ground.py
GROUND_UP := $(GROUND) up 2 --bind-ro $(CURDIR)/.cache/opt:/opt/fullrank --bind-ro $(CURDIR)/.cache/models:/srv/models \
	--bind-ro $(CURDIR)/tests/standins:/opt/standins
# what runs by a node's own Python
ON_NODES := plugins/module_utils plugins/modules plugins/plugin_utils/launch/engines/ray_gate.py roles/monitoring/files
CHECKOUT_AS_COLLECTION := collections/ansible_collections/fullrank/serving
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# molecule's own default for this folder, stated, so that it does not advise another folder at each start
export MOLECULE_GLOB := molecule/*/molecule.yml
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# the engines whose really installed parser the flag catalogs are compared with (Ray is in vLLM's environment)
PARSERS := vllm sglang lmdeploy sglang_router smg
export FULLRANK_VLLM_PYTHON = $(CURDIR)/tests/engines/vllm-python
export FULLRANK_SGLANG_PYTHON = $(CURDIR)/tests/engines/sglang-python
export FULLRANK_LMDEPLOY_PYTHON = $(CURDIR)/tests/engines/lmdeploy-python
export FULLRANK_SGLANG_ROUTER_PYTHON = $(CURDIR)/tests/engines/sglang_router-python
export FULLRANK_SMG_PYTHON = $(CURDIR)/tests/engines/smg-python

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: demo
demo: ground ## the main job on two nodes of the test ground: from nothing to an answer
	@echo "== site.yml: two ranks of a real engine, from bare nodes to an endpoint"
	ansible-playbook site.yml -i inventories/local
	@echo "== a question to the model (its weights are random: the answer is nonsense, but it came by the whole way)"
	examples/ask.py http://10.77.0.11:8000/v1 tiny "Are all ranks up?"
	@echo "== what runs"
	ansible-playbook playbooks/status.yml -i inventories/local | grep -A3 DEPLOYMENT
	@echo
	@echo "Look around:   $(GROUND) list"
	@echo "               $(GROUND) exec n1 journalctl -u fullrank-rank@tiny -f"
	@echo "               . $(VENV)/bin/activate; ansible-playbook site.yml -i inventories/local    (changes nothing)"
	@echo "Tear down:     make down"

.PHONY: test
test: lint test-sanity test-unit test-security test-rules test-package test-catalogs test-engines test-ground test-chain test-preflight test-comm ## what every change must pass; on the test ground too

.PHONY: test-all
# installs, boots and breaks nodes over and over; the driver's build alone downloads a gigabyte and compiles for minutes
test-all: export FULLRANK_TEST_ALL := 1
test-all: test test-core test-nodes test-weights test-sglang test-data-parallel test-containers test-ray test-diagnose test-upgrade test-habits test-group test-router test-embeddings test-webui test-monitoring ## everything, also what takes long

.PHONY: test-nodes
# each of them on Debian 12: make test-docker GROUND_SUITE=bookworm
test-nodes: test-nodes-playbook test-host-tuning test-docker test-nvidia-driver test-nvidia-container-toolkit test-nvidia-dkms test-rdma ## the roles that prepare a node

.PHONY: test-weights
test-weights: test-hubs test-model test-model-convert test-distribute ## fetch, convert and distribute

.PHONY: lint
lint: setup ## ruff, mypy, the graph of packages, private words, the nodes' oldest Python, yamllint, ansible-lint, antsibull
	ruff check .
	ruff format --check .
	mypy $(CHECKOUT_AS_COLLECTION)/plugins tools
	python -m tools.package_graph > /dev/null
	python -m tools.words
	vermin --target=3.9- --violations --quiet $(ON_NODES)
	yamllint --strict .
	ansible-lint --offline -q
	antsibull-docs lint-collection-docs --plugin-docs --disallow-unknown-collection-refs $(CHECKOUT_AS_COLLECTION)
	antsibull-changelog lint

.PHONY: test-unit
test-unit: setup ## unit tests: pure functions and recorded data, seconds
	pytest -m "not engine and not index"

.PHONY: test-security
test-security: setup host-packages hub-clients engines ## attacks on what we run: workers, supervisors, routers, endpoints, on loopback (minutes)
	pytest tests/security

.PHONY: test-package
test-package: setup ## the built collection, installed into a fresh place and used by its full names
	pytest tests/package

.PHONY: test-sanity
test-sanity: setup ## ansible-test sanity over the built collection, with every Python from 3.9 on that is here
	tests/package/sanity

.PHONY: test-core
test-core: host-packages ## the newest ansible-core on Python 3.13: a node of the ground is the controller of two others (minutes)
	tests/core/run

.PHONY: test-engines
test-engines: setup engines ## what is compared with the engines' own parsers
	@python tests/engines/build.py $(PARSERS)
	pytest tests/catalog tests/unit -m engine

.PHONY: test-ground
test-ground: setup host-packages ## the test ground itself: made, cut, crashed, gone without a trace
	pytest tests/ground

.PHONY: test-chain
test-chain: setup host-packages engines ## the chain on two nodes of the test ground, and what goes wrong (molecule)
	molecule test

.PHONY: test-preflight
test-preflight: setup host-packages engines ## planted faults on three nodes, all of them in one report (molecule)
	molecule test -s preflight

.PHONY: test-comm
test-comm: setup host-packages engines ## the gate between the ranks on three nodes, one of them made slow (molecule)
	molecule test -s comm_check

.PHONY: test-nodes-playbook
test-nodes-playbook: setup host-packages ## playbooks/nodes.yml from a bare node to a container with GPUs, its reboots counted (molecule)
	molecule test -s nodes

.PHONY: test-nvidia-driver
test-nvidia-driver: setup host-packages ## the driver's packages, holds and reboots on a node, from a stand-in of NVIDIA's repository (molecule)
	molecule test -s nvidia_driver

.PHONY: test-nvidia-container-toolkit
test-nvidia-container-toolkit: setup host-packages ## a container gets GPUs by CDI from a real docker or podman, by stand-ins of driver and toolkit (molecule)
	molecule test -s nvidia_container_toolkit

.PHONY: test-nvidia-dkms
test-nvidia-dkms: setup host-packages ## Debian's real driver, its module built by DKMS; needs 1 GB of downloads (molecule)
	molecule test -s nvidia_dkms

.PHONY: test-distribute
test-distribute: setup host-packages engines ## weights from node to node: processes on loopback, then four nodes with faults (molecule)
	pytest tests/weights
	molecule test -s model_distribute

.PHONY: test-docker
test-docker: setup host-packages ## docker and podman on two nodes, data-roots that move and come back (molecule)
	molecule test -s docker

.PHONY: test-host-tuning
test-host-tuning: setup host-packages ## settings of a node: applied, kept over a reboot, taken back (molecule)
	molecule test -s host_tuning

.PHONY: test-rdma
test-rdma: setup host-packages ## RDMA software over recorded hardware, stand-ins of NVIDIA's packages, a reboot (molecule)
	molecule test -s rdma

.PHONY: test-hubs
test-hubs: setup host-packages hub-clients ## the fetch by the real clients of both hubs, two versions each, with faults (minutes)
	tests/hubs/small-disk pytest tests/hubs

.PHONY: test-model
test-model: setup host-packages hub-clients ## weights on a node of the test ground, from stand-ins of the hubs (molecule)
	molecule test -s model
	molecule test -s weights

.PHONY: test-model-convert
test-model-convert: setup host-packages engines .cache/models/tiny-fp8 ## FP8 weights made BF16 on a node, by the engine's PyTorch (molecule)
	molecule test -s model_convert

.PHONY: test-group
test-group: ground ## each fault of a running group once, with a stand-in engine: noticed in time, and back by itself
	tests/faults/faults.py --engine standin --busy --times 1

.PHONY: test-faults
test-faults: ground ## each fault three times under load, with the real engine: how long, and what was lost (half an hour)
	tests/faults/faults.py --times 3 --json .cache/faults.json

.PHONY: soak
soak: ground ## half an hour of killed ranks with the real engine
	tests/faults/faults.py --soak 1800 --json .cache/soak.json

.PHONY: soak-sim
soak-sim: setup ## supervisors in a made world: 5000 stories of faults and repeated recordings, 40 hours of a lossy network (half an hour)
	nice tests/faults/simulate.py

.PHONY: test-router
test-router: setup host-packages engines .cache/opt/index/wheels ## replicas behind a router, and deployments side by side (molecule)
	molecule test -s router

.PHONY: test-embeddings
test-embeddings: setup host-packages engines .cache/models/minilm ## a real embedding model beside a chat model: readiness, checks, routers by task (molecule)
	molecule test -s embeddings

.PHONY: test-diagnose
test-diagnose: setup host-packages engines ## why a start failed, what ranks do meanwhile, their status (molecule)
	molecule test -s diagnose

.PHONY: test-sglang
test-sglang: setup host-packages engines ## SGLang on two nodes of the test ground: the chain, its key, killed ranks (molecule)
	@python tests/engines/build.py sglang
	molecule test -s sglang

.PHONY: test-data-parallel
test-data-parallel: setup host-packages engines ## vLLM data parallel over two nodes: a start together, answers of both, killed ranks (molecule)
	molecule test -s data_parallel

.PHONY: test-containers
test-containers: setup host-packages engines ## the chain in containers of a real docker, image by its digest from a registry (molecule)
	molecule test -s containers

.PHONY: test-ray
test-ray: setup host-packages engines ## vLLM over a real Ray cluster, with faults; LMDeploy as far as there is no GPU (molecule)
	@python tests/engines/build.py lmdeploy
	molecule test -s ray

.PHONY: test-upgrade
test-upgrade: setup host-packages engines ## upgrade and rollback of a group and of two replicas, keys, with a stand-in engine (molecule)
	molecule test -s upgrade

.PHONY: test-habits
test-habits: setup host-packages engines ## what operators type: verb, limit and state on three nodes with a stand-in engine (half an hour)
	$(GROUND) up 3 --bind-ro $(CURDIR)/.cache/models:/srv/models --bind-ro $(CURDIR)/tests/standins:/opt/standins
	pytest tests/habits && $(GROUND) down

.PHONY: test-rules
test-rules: setup monitoring-tools ## rules, alerts and dashboard of monitoring, without a node: promtool and Grafana's types (a minute)
	pytest tests/monitoring

.PHONY: test-monitoring
test-monitoring: test-rules host-packages engines ## a real Prometheus reads the real engine on three nodes, with faults (molecule)
	molecule test -s monitoring

.PHONY: test-webui
test-webui: setup host-packages engines webui-parts ## Open WebUI before real engines, used by a real browser, upgraded and put back (molecule)
	molecule test -s webui

.PHONY: webui-parts
webui-parts: setup host-packages ## what that needs: wheels, Debian's chromium and what steers it, once
	@tests/webui/build

.PHONY: bench
bench: ground ## timings, as ratios of things measured in the same run
	tests/bench/bench_render.py
	tests/bench/chain.py
	tests/bench/distribute.py
	tests/bench/convert.py
	tests/bench/router.py

.PHONY: catalogs
catalogs: setup ## flag catalogs and NCCL's variables: add the versions published since they were written
	nice python -m tools.catalog
	nice python -m tools.nccl_variables

.PHONY: test-catalogs
test-catalogs: setup ## flag catalogs: one version of each engine made again from its published wheel, and compared
	pytest tests/catalog -m index

.PHONY: ground
ground: setup host-packages engines ## two nodes of the test ground
	$(GROUND_UP)

.PHONY: down
down: ## remove the test ground; always safe
	$(PYTHON) $(GROUND) down

.PHONY: setup
setup: $(VENV)/.stamp ## the Python environment of the controller and of the tests

$(VENV)/.stamp: pyproject.toml | host-packages
	$(PYTHON) -m venv $(VENV)
	@tests/heartbeat "pip" python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@tests/heartbeat "Python packages of pyproject.toml into $(VENV)" python -m pip install -qq --group dev
	@touch $@

.PHONY: host-packages
host-packages: ## Debian packages that the test ground needs
	@tests/host-packages

.PHONY: hub-clients
hub-clients: setup ## the hubs' real clients, for tests, built once
	@tests/hubs/build

.PHONY: monitoring-tools
monitoring-tools: setup ## promtool and Grafana's Foundation SDK, for tests, unpacked once
	@tests/monitoring/build

.PHONY: engines
engines: setup host-packages .cache/models/tiny ## the engines' CPU environments and the tiny model, built once
	@python tests/engines/build.py vllm

# the Python versions of the suites that the ground knows
.cache/opt/index/wheels: roles/router/files/smg.txt | setup
	@rm -rf $@.tmp && mkdir -p $@.tmp
	@sed 's/SMG_VERSION/1.13.0/' $< > $@.tmp/requirements
	@for python in 3.11 3.13; do tests/heartbeat "smg's wheels for Python $$python" python -m pip download -q --no-deps \
		--only-binary=:all: --python-version $$python --dest $@.tmp --requirement $@.tmp/requirements || exit; done
	@rm -rf $@ && mv $@.tmp $@

.cache/models/tiny: tests/engines/tiny_model.py | setup host-packages
	@python tests/engines/build.py vllm
	@tests/heartbeat "a tiny model" tests/engines/vllm-python tests/engines/tiny_model.py $(CURDIR)/$@.tmp
	@rm -rf $@ && mv $@.tmp $@

.cache/models/minilm: tests/engines/minilm_model.py | setup
	@tests/heartbeat "a real embedding model (90 MB)" python tests/engines/minilm_model.py $(CURDIR)/$@.tmp
	@rm -rf $@ && mv $@.tmp $@

.cache/models/tiny-fp8: tests/engines/fp8_model.py .cache/models/tiny
	@tests/heartbeat "the tiny model in FP8" tests/engines/vllm-python tests/engines/fp8_model.py $(CURDIR)/.cache/models/tiny $(CURDIR)/$@.tmp
	@rm -rf $@ && mv $@.tmp $@

.PHONY: clean
clean: down ## remove what was built, caches included
	rm -rf .cache $(VENV)
