# Deployment to AWS, with your credentials and region (aws configure); included by the Makefile.
.PHONY: package template-check sam-check checkov-check deploy destroy smoke

STAGE ?= dev
STACK ?= linkpulse-$(STAGE)
TEMPLATE := infrastructure/template.yaml
SAM := .venv-sam/bin/sam
# SAM CLI pins what boto3 and cfn-lint pin otherwise: it has an environment of its own.
RUN_SAM := SAM_CLI_TELEMETRY=0 $(SAM)
# Checkov pins boto3 and networkx at what is years old: an environment of its own too.
CHECKOV := .venv-checkov/bin/checkov

$(SAM):
	@echo "setting up the SAM CLI in .venv-sam (half a minute, once)"
	@$(PYTHON) -m venv .venv-sam
	@.venv-sam/bin/python -m pip install --quiet --disable-pip-version-check 'aws-sam-cli==1.170.*'

$(CHECKOV):
	@echo "setting up checkov in .venv-checkov (a minute, once)"
	@$(PYTHON) -m venv .venv-checkov
	@.venv-checkov/bin/python -m pip install --quiet --disable-pip-version-check 'checkov==3.3.*'

package: $(VENV)/.local ## build the functions' package
	@$(BIN)/python -m infrastructure.package

template-check: $(VENV)/.dev sam-check checkov-check ## cfn-lint, sam validate and checkov on the template
	@$(BIN)/cfn-lint $(TEMPLATE)

sam-check: $(SAM)
	@AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} $(RUN_SAM) validate --lint --template-file $(TEMPLATE)

# It asks nobody: --skip-download. What it may pass over says so on a line of its own in the template.
checkov-check: $(CHECKOV)
	@$(CHECKOV) --file $(TEMPLATE) --framework cloudformation --compact --quiet --skip-download

deploy: package $(SAM) ## deploy to AWS; STAGE=dev STACK=linkpulse-dev
	@$(RUN_SAM) deploy --guided --template-file $(TEMPLATE) --stack-name $(STACK) \
		--parameter-overrides Stage=$(STAGE) --capabilities CAPABILITY_IAM --config-env $(STAGE)

destroy: $(VENV)/.local $(SAM) ## delete a stack on AWS; what holds data stays and is named
	@$(BIN)/python -m infrastructure.teardown --stack $(STACK)
	@$(RUN_SAM) delete --stack-name $(STACK)

smoke: $(VENV)/.local ## test a deployed stack end to end; STACK=NAME
	@$(BIN)/python -m infrastructure.smoke --stack $(STACK)
