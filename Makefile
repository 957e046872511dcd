# make run   – the gateway with its examples on http://127.0.0.1:8888
# make test  – everything that must hold
# make help  – the rest

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The pinned Node is an npm package: node_modules/.bin/node.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

UNIT := {crds,errors,proto,xds,telemetry,operator,agent,extproc,sim,cli}/**/*.test.ts

.PHONY: help setup run test check unit e2e kube slow bench proto docs format

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -ts $$'\t'

setup: node_modules/.setup ## what the others need: packages, Node, Envoy (fetched once)

node_modules/.setup: package.json package-lock.json cli/setup/envoy.requirements.txt
	@cli/setup/setup.sh
	@touch $@

run: setup ## start the gateway with examples/local, simulated pods included
	@cli/bin/fairlead up examples/local --sim

test: setup check unit e2e kube ## everything that must hold

check: setup proto-drift ## format, lint, import directions, types, dead code
	@biome ci --colors=off --error-on-warnings .
	@tsc --noEmit
	@knip

proto-drift:
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	  buf generate --output "$$scratch" && diff -r "$$scratch/proto/gen" proto/gen \
	  || { echo 'proto/gen is not what proto/ generates: run make proto' >&2; exit 1; }

unit: setup ## tests beside the source, and those against the Envoy binary
	@node --test --test-reporter=dot '$(UNIT)' 'test/{envoy,xds}/**/*.test.ts'

e2e: setup ## the whole gateway with a real Envoy, asked by the official clients
	@test/clients/setup.sh
	@node --test --test-concurrency=2 --test-reporter=spec 'test/{e2e,clients}/**/*.test.ts'

kube: setup ## against a real Kubernetes (built once, with Go), pods included
	@node --test --test-concurrency=1 --test-reporter=spec 'test/kube/*.test.ts'
	@test/kube/in-namespace.sh node --test --test-force-exit --test-concurrency=1 --test-reporter=spec 'test/kube/pods/{kubelet,workloads,install}.test.ts'

slow: setup ## the installed chart under load: rollouts, outages, permissions, callers (about ten minutes)
	@test/kube/in-namespace.sh node --test --test-force-exit --test-concurrency=1 --test-reporter=spec \
	  'test/kube/pods/{callers,endpoints,names,outages,permissions,upgrade}.test.ts'

bench: setup ## the figures that the documentation quotes
	@for file in bench/*.bench.ts; do echo "== $$file"; node "$$file"; done

proto: setup ## generate proto/gen from proto/
	@rm -rf proto/gen && buf generate

docs: setup ## write docs/reference and the chart's CRDs from the code
	@node docs/generate.ts

format: setup ## mend format and import order
	@biome check --write .
