# Deployment to AWS, with your credentials and region (aws configure); included by the Makefile.
.PHONY: package template-check sam-check deploy destroy smoke

STAGE ?= dev
STACK ?= linkpulse-$(STAGE)
TEMPLATE := infrastructure/template.yaml
SAM := .venv-sam/bin/sam
# SAM CLI pins what boto3 and cfn-lint pin otherwise: it has an environment of its own.
RUN_SAM := SAM_CLI_TELEMETRY=0 $(SAM)

$(SAM):
	@echo "setting up the SAM CLI in .venv-sam (half a minute, once)"
	@$(PYTHON) -m venv .venv-sam
	@.venv-sam/bin/python -m pip install --quiet --disable-pip-version-check 'aws-sam-cli==1.170.*'

package: $(VENV)/.local ## build the ingest function's package
	@$(BIN)/python -m infrastructure.package

template-check: $(VENV)/.dev sam-check ## cfn-lint and sam validate on the template
	@$(BIN)/cfn-lint $(TEMPLATE)

sam-check: $(SAM)
	@AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} $(RUN_SAM) validate --lint --template-file $(TEMPLATE)

deploy: package $(SAM) ## deploy to AWS; STAGE=dev STACK=linkpulse-dev
	@$(RUN_SAM) deploy --guided --template-file $(TEMPLATE) --stack-name $(STACK) \
		--parameter-overrides Stage=$(STAGE) --capabilities CAPABILITY_IAM --config-env $(STAGE)

destroy: $(VENV)/.local $(SAM) ## delete a stack on AWS; what holds data stays and is named
	@$(BIN)/python -m infrastructure.teardown --stack $(STACK)
	@$(RUN_SAM) delete --stack-name $(STACK)

smoke: $(VENV)/.local ## test a deployed stack end to end; STACK=NAME
	@$(BIN)/python -m infrastructure.smoke --stack $(STACK)
