# Deploying. STAGE names the deployment (default dev); ARGS is handed to the
# CDK, like ARGS="-c alarmEmail=oncall@example.com". infra/README.md explains.
STAGE ?= dev
LANE ?= events
RATE ?= 10
ARGS ?=
CFN_LINT_VERSION := 1.51.0

CDK_ENV := JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 JSII_DEPRECATED=quiet
CDK = cd infra && $(CDK_ENV) node_modules/.bin/cdk
INFRA_TEMPLATES := infra/testdata/defaults.template.json infra/testdata/full.template.json
# W3005: the library spells out dependencies that a reference implies.
CFN_LINT_IGNORE := W3005
CFN_LINT := infra/.venv/bin/cfn-lint

infra/node_modules/.stamp: infra/package.json infra/package-lock.json
	cd infra && npm ci --no-audit --no-fund
	touch $@

$(CFN_LINT):
	python3 -m venv infra/.venv
	infra/.venv/bin/pip install --quiet --disable-pip-version-check cfn-lint==$(CFN_LINT_VERSION)

.PHONY: synth
synth: build infra/node_modules/.stamp ## write the CloudFormation template of STAGE to infra/cdk.out
	$(CDK) synth --quiet -c stage=$(STAGE) $(ARGS)
	@echo "infra/cdk.out/Hookferry-$(STAGE).template.json"

.PHONY: package
package: synth ## write a plain template of STAGE and the functions' archives to dist/cloudformation
	$(GO) run ./infra/pack -template infra/cdk.out/Hookferry-$(STAGE).template.json -out dist/cloudformation
	@echo "dist/cloudformation/template.json"

.PHONY: bootstrap
bootstrap: infra/node_modules/.stamp ## prepare an AWS account and region for the CDK, once
	$(CDK) bootstrap -c stage=$(STAGE) $(ARGS)

.PHONY: diff
diff: build infra/node_modules/.stamp ## show what a deployment of STAGE would change
	$(CDK) diff -c stage=$(STAGE) $(ARGS)

# Until a stack of the stage stands, nothing in it is locked, so that a first
# deployment that fails can be undone and tried again.
FIRST = $$(aws cloudformation describe-stacks --stack-name hookferry-$(STAGE) --query 'Stacks[0].StackStatus' --output text 2>/dev/null | \
  grep -qE '^(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE|^UPDATE_ROLLBACK_FAILED' && echo false || echo true)

.PHONY: preflight
preflight: build infra/node_modules/.stamp ## say whether the account has the concurrency that STAGE asks for
	$(CDK) synth --quiet -c stage=$(STAGE) $(ARGS)
	node infra/preflight.mjs infra/cdk.out/Hookferry-$(STAGE).template.json \
	  "$$(aws lambda get-account-settings --query AccountLimit.ConcurrentExecutions --output text)"

.PHONY: deploy
deploy: preflight ## deploy STAGE; asks before it widens any right
	first=$(FIRST); $(CDK) deploy -c stage=$(STAGE) -c firstDeployment=$$first $(ARGS) Hookferry-$(STAGE)

.PHONY: destroy
destroy: build infra/node_modules/.stamp ## take STAGE down; asks for its name first
	@read -r -p "This takes down hookferry-$(STAGE) and, unless it is protected, all of its events. Type the stage to go on: " answer && \
	  [ "$$answer" = "$(STAGE)" ] || { echo "nothing was changed"; exit 1; }
	$(CDK) destroy -c stage=$(STAGE) $(ARGS) Hookferry-$(STAGE)

# The destination is named, because the relay itself puts messages there that no
# queue has moved: SQS would not know where those came from.
.PHONY: redrive
redrive: ## put the dead letters of LANE (events, retries) of STAGE back, RATE a second
	@case "$(LANE)" in events|retries) ;; *) echo "LANE is events or retries"; exit 1;; esac
	@set -e; arn() { aws sqs get-queue-attributes --attribute-names QueueArn --query Attributes.QueueArn --output text \
	  --queue-url "$$(aws sqs get-queue-url --queue-name "$$1" --query QueueUrl --output text)"; }; \
	from=$$(arn hookferry-$(STAGE)-$(LANE)-dead); to=$$(arn hookferry-$(STAGE)-$(LANE)); \
	aws sqs start-message-move-task --source-arn "$$from" --destination-arn "$$to" --max-number-of-messages-per-second $(RATE); \
	aws sqs list-message-move-tasks --source-arn "$$from" --max-results 1

.PHONY: infra-test
infra-test: ## test the stack; the first build of the CDK takes a minute
	$(CDK_ENV) $(GO) vet -tags cdk ./infra
	$(CDK_ENV) $(GO) test -tags cdk ./infra

.PHONY: infra-lint
infra-lint: infra/node_modules/.stamp $(CFN_LINT) ## hold the templates to our Guard rules, cdk-nag and cfn-lint
	node infra/lint.mjs $(INFRA_TEMPLATES)
	$(CFN_LINT) --ignore-checks $(CFN_LINT_IGNORE) -- $(INFRA_TEMPLATES)

.PHONY: infra-update
infra-update: ## write the golden templates and the tables of infra/README.md anew
	$(CDK_ENV) $(GO) test -tags cdk ./infra -update

.PHONY: reproducible
reproducible: ## build the Lambdas twice, from nothing, and compare the bytes
	@set -e; $(MAKE) -s build; first=$$(sha256sum build/*/bootstrap); rm -rf build; \
	GOCACHE=$$(mktemp -d) $(MAKE) -s build; second=$$(sha256sum build/*/bootstrap); \
	if [ "$$first" = "$$second" ]; then echo "$$second"; else echo "they differ:"; echo "$$first"; echo "$$second"; exit 1; fi

REHEARSAL := infra/rehearse/.venv/bin/ministack
$(REHEARSAL): infra/rehearse/requirements.txt
	python3 -m venv infra/rehearse/.venv
	infra/rehearse/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r infra/rehearse/requirements.txt
	touch $@

.PHONY: rehearse
rehearse: infra/node_modules/.stamp $(REHEARSAL) ## deploy the template on an emulator of AWS on this machine, and drive it
	$(MAKE) --no-print-directory synth STAGE=rehearse
	REHEARSE_EMULATOR=$(CURDIR)/$(REHEARSAL) REHEARSE_TEMPLATE=$(CURDIR)/infra/cdk.out/Hookferry-rehearse.template.json \
	  $(GO) test -tags rehearse -count=1 -v -timeout 15m ./infra/rehearse
