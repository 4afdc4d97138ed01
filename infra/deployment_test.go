//go:build cdk

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestWhatReadsAMessageIsUpdatedBeforeWhatWritesIt: a new field or kind is on the
// queue only once there is a dispatcher that knows it.
func TestWhatReadsAMessageIsUpdatedBeforeWhatWritesIt(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		ids := map[string]string{}
		for id, r := range tpl.of("AWS::Lambda::Function") {
			name := r.at("FunctionName").(string)
			ids[name[strings.LastIndex(name, "-")+1:]] = id
		}
		for writer, readers := range map[string][]string{"receiver": {"dispatcher", "repair"}, "api": {"dispatcher", "repair"}, "repair": {"dispatcher"}} {
			depends, _ := json.Marshal(tpl.Resources[ids[writer]].DependsOn)
			for _, reader := range readers {
				if !strings.Contains(string(depends), `"`+ids[reader]+`"`) {
					t.Errorf("%s does not wait for %s: %s", writer, reader, depends)
				}
			}
		}
	})
}

// TestAFirstDeploymentThatFailsLeavesNothingBehind: the names are fixed, so what
// is left would keep the second try from succeeding; and what is locked could not
// be taken away.
func TestAFirstDeploymentThatFailsLeavesNothingBehind(t *testing.T) {
	first := map[string]any{"stage": "prod", "firstDeployment": "true"}
	_, tpl, err := synth(t, first)
	if err != nil {
		t.Fatal(err)
	}
	for id, r := range tpl.Resources {
		if r.Deletion == "Retain" {
			t.Errorf("%s stays when its creation is undone", id)
		}
		if r.at("DeletionProtectionEnabled") == true {
			t.Errorf("%s cannot be taken away", id)
		}
	}
	_, tpl, err = synth(t, map[string]any{"stage": "prod"})
	if err != nil {
		t.Fatal(err)
	}
	locked := 0
	for _, r := range tpl.Resources {
		if r.at("DeletionProtectionEnabled") == true {
			locked++
		}
	}
	if locked != 2 {
		t.Errorf("%d things are locked from the second deployment on, want the table and the audit log", locked)
	}
}

func TestTheReceiverReadsSourcesAlone(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		role := tpl.Resources[getAtt(tpl.function(t, "receiver").at("Role"))]
		seen := 0
		for _, st := range role.at("Policies.0.PolicyDocument.Statement").([]any) {
			if !strings.Contains(text(at(st, "Action")), "dynamodb:") {
				continue
			}
			if text(at(st, "Action")) != "dynamodb:GetItem" {
				continue // the counts of refused calls, which it adds to
			}
			seen++
			if got := at(st, "Condition.ForAllValues:StringLike.dynamodb:LeadingKeys.0"); got != "S#*" || at(st, "Condition.Null.dynamodb:LeadingKeys") != "false" {
				t.Errorf("it may read %v", st)
			}
		}
		if seen != 1 {
			t.Errorf("%d statements about the table", seen)
		}
	})
}

// TestARestoredTableIsWorkedWith: functions, roles and metrics name it, and the
// stack's own stays as it is.
func TestARestoredTableIsWorkedWith(t *testing.T) {
	_, tpl, err := synth(t, map[string]any{"tableName": "hookferry-dev-restored"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		fn := tpl.function(t, f.name)
		if got := fn.at("Environment.Variables.TABLE_NAME"); got != "hookferry-dev-restored" {
			t.Errorf("%s works with %v", f.name, got)
		}
		policy := text(tpl.Resources[getAtt(fn.at("Role"))].at("Policies"))
		if !strings.Contains(policy, ":table/hookferry-dev-restored") {
			t.Errorf("%s may not use it", f.name)
		}
	}
	tpl.one(t, "AWS::DynamoDB::Table", "TableName", "hookferry-dev-table")
	if alarm := tpl.one(t, "AWS::CloudWatch::Alarm", "AlarmName", "hookferry-dev-table-throttles"); !strings.Contains(text(alarm.at("Metrics")), "hookferry-dev-restored") {
		t.Error("its throttles are not watched")
	}
}

func TestEverythingThatTakesTagsIsTagged(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		tagged := 0
		for id, r := range tpl.Resources {
			tags, ok := r.Properties["Tags"]
			if !ok {
				continue
			}
			tagged++
			b, _ := json.Marshal(tags)
			stage := stageOf(tpl)
			if !strings.Contains(string(b), stage) || stage == "prod" && !strings.Contains(string(b), "relay") {
				t.Errorf("%s: %s", id, b)
			}
		}
		for _, typ := range []string{"AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Lambda::Function", "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::SecretsManager::Secret",
			"AWS::SNS::Topic", "AWS::CloudWatch::Alarm", "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage", "AWS::Lambda::EventSourceMapping"} {
			for id, r := range tpl.of(typ) {
				if r.Properties["Tags"] == nil {
					t.Errorf("%s has no tags", id)
				}
			}
		}
		if tagged < 30 {
			t.Errorf("%d resources are tagged", tagged)
		}
	})
}

func TestOutputsSayWhatIsNeeded(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		for _, name := range []string{"ApiUrl", "TableName", "EventsQueueUrl", "RetriesQueueUrl", "EventsDeadLettersUrl", "RetriesDeadLettersUrl", "DashboardUrl", "FirstKey", "KeyringSecret"} {
			if tpl.Outputs[name] == nil {
				t.Errorf("no output %s", name)
			}
		}
		if (tpl.Outputs["DomainTarget"] != nil) != (stageOf(tpl) == "prod") {
			t.Error("the target of the domain is an output where there is a domain")
		}
		first := text(tpl.Outputs["FirstKey"]["Value"])
		if !strings.Contains(first, "keys create") || !strings.Contains(first, "hookferry-"+stageOf(tpl)+"-table") {
			t.Errorf("first key: %s", first)
		}
	})
}

func TestADomainNeedsItsCertificateAndIsTheURL(t *testing.T) {
	tpl := templates(t)["full"]
	domain := tpl.one(t, "AWS::ApiGatewayV2::DomainName", "DomainName", "hooks.example.com")
	if domain.at("DomainNameConfigurations.0.SecurityPolicy") != "TLS_1_2" {
		t.Errorf("got %v", domain.Properties)
	}
	tpl.one(t, "AWS::ApiGatewayV2::ApiMapping", "Stage", "$default")
	if got := tpl.Outputs["ApiUrl"]["Value"]; got != "https://hooks.example.com" {
		t.Errorf("got %v", got)
	}
	if got := tpl.function(t, "api").at("Environment.Variables.PUBLIC_URL"); got != "https://hooks.example.com" {
		t.Errorf("PUBLIC_URL is %v", got)
	}
	if api := tpl.one(t, "AWS::ApiGatewayV2::Api", "", nil); api.at("DisableExecuteApiEndpoint") != true {
		t.Error("the gateway's own name goes past what stands before the domain")
	}
	budget := tpl.one(t, "AWS::Budgets::Budget", "", nil)
	if budget.at("Budget.BudgetLimit.Amount") != 500.0 || budget.at("NotificationsWithSubscribers.1.Notification.NotificationType") != "FORECASTED" ||
		budget.at("NotificationsWithSubscribers.0.Subscribers.0.Address") != "oncall@example.com" {
		t.Errorf("budget: %v", budget.Properties)
	}
}
