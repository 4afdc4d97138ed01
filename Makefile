# Everything a developer or an operator runs. make help lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
TOOL := $(GO) tool -modfile=.ci/tools.mod
LDFLAGS := -s -w -buildid=

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: run
run: ## run the relay on this machine, keeping its data in .hookferry
	$(GO) run ./functions/hookferry dev -data .hookferry

.PHONY: deps
deps: shared/awstest/node_modules/.stamp shared/verify/node_modules/.stamp ## install what the tests need: servers for the AWS adapters, a TypeScript compiler

%/node_modules/.stamp: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	touch $@

.PHONY: test
test: ## run every test but those of infra; without Node, those that do without
	@GO=$(GO) .ci/test

.PHONY: try
try: ## see a relay at work, in a few seconds
	@$(GO) run ./functions/hookferry try

N ?= 20

.PHONY: test-busy
test-busy: ## run make test N times beside two busy loops, and print the last line of each run
	.ci/test-busy $(N) $(MAKE) --no-print-directory test

RACE := $(addprefix ./shared/,relay/... cache dispatcher poller egress sqlite api receiver telemetry)

.PHONY: race
race: deps ## run the tests of the concurrent packages with the race detector
	$(GO) test -race -short $(RACE)

.PHONY: race-packages
race-packages:
	@echo $(RACE)

.PHONY: check
check: ## formatting, vet, layers and lint
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); [ -z "$$unformatted" ] || { echo "not formatted (gofmt -w mends it):"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(TOOL) golangci-lint run -c .ci/golangci.yml ./...

.PHONY: bench
bench: ## run every benchmark once, so that none rots
	$(GO) test -run '^$$' -bench . -benchtime 1x ./...

shared/console/test/node_modules/.stamp: shared/console/test/package-lock.json
	cd shared/console/test && npm ci --no-audit --no-fund
	touch $@

.PHONY: test-browser
test-browser: shared/console/test/node_modules/.stamp ## do in headless Chromium what a person does in the console
	cd shared/console/test && npm test --silent

.PHONY: console-vendor
console-vendor: ## compare the console's libraries with what is published; needs the internet
	shared/console/vendor.sh check

SCHEDULES ?= 2000

.PHONY: model
model: ## hold the dispatcher to its promises over SCHEDULES seeded schedules of faults and crashes
	$(GO) test ./shared/dispatcher -run Model -count=1 -v -timeout 60m -relaytest.schedules=$(SCHEDULES)

ENUMERATE ?= 2m
CUTS ?= 1000
HISTORY ?= 100000

.PHONY: proof
proof: deps ## walk every schedule of small worlds for ENUMERATE, search the protocol's model, cut the power, find an order of HISTORY calls; needs spin, gcc, strace
	@for tool in spin gcc strace; do command -v $$tool > /dev/null || { echo "$$tool is not installed; on Debian: apt-get install spin gcc strace"; exit 1; }; done
	$(GO) test ./shared/dispatcher -run 'EverySchedule|AScript' -count=1 -v -timeout 30m -relaytest.enumerate=$(ENUMERATE)
	$(GO) test ./shared/dispatcher/protocol -count=1 -v -timeout 15m -protocol
	$(GO) test ./shared/sqlite -run SystemCall -count=1 -v -timeout 30m -powercuts=$(CUTS)
	$(GO) test ./shared/relay/relaytest ./shared/sqlite ./shared/dynamo -p 1 -run Histories -count=1 -v -timeout 60m -relaytest.history=$(HISTORY)

.PHONY: soak
soak: ## ten minutes of random endpoints and kills, with the ledger at the end
	$(GO) test ./functions/hookferry -run TestSoak -count=1 -v -timeout 20m -soak 10m

.PHONY: vuln
vuln: ## look up known vulnerabilities; needs the internet
	$(TOOL) govulncheck ./...

.PHONY: build
build: ## build the Lambdas (arm64, same bytes each time) and the program
	for f in api receiver dispatcher repair; do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -tags lambda.norpc -ldflags="$(LDFLAGS)" -o build/$$f/bootstrap ./functions/$$f || exit 1; done
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="$(LDFLAGS)" -o bin/hookferry ./functions/hookferry

VERSION ?= v0.0.0-devel

.PHONY: release
release: ## build the program for five platforms into dist/VERSION, with checksums, SBOM and notices
	@GO=$(GO) .ci/release $(VERSION)

-include infra/infra.mk
