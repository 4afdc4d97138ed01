//go:build cdk

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheTableIsOnDemandExpiresAndCanBeRecovered(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		table := tpl.one(t, "AWS::DynamoDB::Table", "", nil)
		prod := table.at("TableName") == "hookferry-prod-table"
		for path, want := range map[string]any{
			"BillingMode": "PAY_PER_REQUEST", "KeySchema.0.AttributeName": "pk", "KeySchema.0.KeyType": "HASH", "KeySchema.1.AttributeName": "sk",
			"KeySchema.1.KeyType": "RANGE", "TimeToLiveSpecification.AttributeName": "x", "TimeToLiveSpecification.Enabled": true,
			"PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled": true, "PointInTimeRecoverySpecification.RecoveryPeriodInDays": 35.0,
			"GlobalSecondaryIndexes": nil, "DeletionProtectionEnabled": prod,
			"WarmThroughput.WriteUnitsPerSecond": map[bool]any{true: 20000.0}[prod], "WarmThroughput.ReadUnitsPerSecond": map[bool]any{true: 30000.0}[prod],
		} {
			if got := table.at(path); got != want {
				t.Errorf("%s: got %v, want %v", path, got, want)
			}
		}
		if want := map[bool]string{true: "RetainExceptOnCreate", false: "Delete"}[prod]; table.Deletion != want {
			t.Errorf("deletion: got %s, want %s", table.Deletion, want)
		}
	})
	// The attribute is the one that shared/dynamo writes.
	if got := constant(t, "../shared/dynamo/table.go", "ttlAttribute"); got != "x" {
		t.Errorf("shared/dynamo expires items by %q", got)
	}
}

func TestQueuesGiveUpLateAndNeverLose(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		if n := len(tpl.of("AWS::SQS::Queue")); n != 4 {
			t.Errorf("%d queues, want 4", n)
		}
		stage := stageOf(tpl)
		for _, lane := range []string{"events", "retries"} {
			queue := tpl.one(t, "AWS::SQS::Queue", "QueueName", "hookferry-"+stage+"-"+lane)
			dead := tpl.one(t, "AWS::SQS::Queue", "QueueName", "hookferry-"+stage+"-"+lane+"-dead")
			for path, want := range map[string]any{
				"MessageRetentionPeriod": 1209600.0, "SqsManagedSseEnabled": true, "RedrivePolicy.maxReceiveCount": 20.0, "MaximumMessageSize": 1048576.0, "FifoQueue": nil, "DelaySeconds": nil,
			} {
				if got := queue.at(path); got != want {
					t.Errorf("%s: %s: got %v, want %v", lane, path, got, want)
				}
			}
			timeout := tpl.function(t, "dispatcher").at("Timeout").(float64)
			if got := queue.at("VisibilityTimeout").(float64); got < 6*timeout {
				t.Errorf("%s: visibility timeout %v, want at least 6 times %v", lane, got, timeout)
			}
			if target := getAtt(queue.at("RedrivePolicy.deadLetterTargetArn")); tpl.Resources[target].at("QueueName") != dead.at("QueueName") {
				t.Errorf("%s: its dead letters go to %s", lane, target)
			}
			if dead.at("MessageRetentionPeriod") != 1209600.0 || dead.at("SqsManagedSseEnabled") != true || dead.at("RedrivePolicy") != nil ||
				dead.at("RedriveAllowPolicy.redrivePermission") != "byQueue" {
				t.Errorf("%s: dead-letter queue: %v", lane, dead.Properties)
			}
			sources, _ := dead.at("RedriveAllowPolicy.sourceQueueArns").([]any)
			if len(sources) != 1 || !strings.HasSuffix(text(sources[0]), ":hookferry-"+stage+"-"+lane) {
				t.Errorf("%s: dead letters may come from %v", lane, text(sources))
			}
		}
	})
}

func TestNoPolicyOfAQueueTopicOrSecretIsPublic(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		seen := 0
		for _, typ := range []string{"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::SecretsManager::ResourcePolicy"} {
			for id, r := range tpl.of(typ) {
				statements, _ := r.at("PolicyDocument.Statement").([]any)
				for _, st := range statements {
					seen++
					public := at(st, "Principal") == "*" || at(st, "Principal.AWS") == "*"
					if at(st, "Effect") == "Allow" && (public || at(st, "Condition") == nil) {
						t.Errorf("%s allows %v to %v without condition", id, at(st, "Principal"), at(st, "Action"))
					}
					if at(st, "Effect") == "Deny" && at(st, "Condition.Bool.aws:SecureTransport") != "false" {
						t.Errorf("%s: a denial of something else than plain transport: %v", id, st)
					}
				}
			}
		}
		if seen < 6 {
			t.Errorf("%d statements, want one for each of four queues, and two of the topic", seen)
		}
	})
}

func TestFunctionsAreSmallQuietAndTraced(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		if n := len(tpl.of("AWS::Lambda::Function")); n != 4 {
			t.Errorf("%d functions, want 4", n)
		}
		prod := stageOf(tpl) == "prod"
		for _, f := range functions {
			fn := tpl.function(t, f.name)
			for path, want := range map[string]any{
				"Runtime": "provided.al2023", "Architectures.0": "arm64", "Handler": "bootstrap", "MemorySize": map[bool]float64{true: 1024, false: f.memory}[prod && f.name == "dispatcher"], "Timeout": f.timeout,
				"LoggingConfig.LogFormat": "JSON", "LoggingConfig.SystemLogLevel": "WARN", "LoggingConfig.ApplicationLogLevel": "TRACE",
				"VpcConfig": nil, "TracingConfig.Mode": map[bool]any{false: "Active"}[prod],
				"RecursiveLoop":                map[bool]any{true: "Allow"}[f.name == "dispatcher"],
				"ReservedConcurrentExecutions": map[string]any{"receiver": 200.0, "api": 50.0}[map[bool]string{true: f.name}[prod]],
			} {
				if got := fn.at(path); got != want {
					t.Errorf("%s: %s: got %v, want %v", f.name, path, got, want)
				}
			}
			group := tpl.Resources[at(fn.at("LoggingConfig.LogGroup"), "Ref").(string)]
			if group.at("LogGroupName") != "/hookferry/"+stageOf(tpl)+"/"+f.name {
				t.Errorf("%s logs to %v", f.name, group.at("LogGroupName"))
			}
		}
		if got := len(tpl.of("AWS::XRay::SamplingRule")); got != map[bool]int{true: 0, false: 1}[prod] {
			t.Errorf("%d sampling rules", got)
		}
		for _, r := range tpl.of("AWS::XRay::SamplingRule") {
			if r.at("SamplingRule.FixedRate") != 0.01 || r.at("SamplingRule.ReservoirSize") != 0.0 {
				t.Errorf("sampling: %v", r.Properties)
			}
		}
	})
}

func TestMappingsReportSingleFailuresInBatchesThatLambdaTakes(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		if n := len(tpl.of("AWS::Lambda::EventSourceMapping")); n != 2 {
			t.Fatalf("%d mappings, want 2", n)
		}
		prod := stageOf(tpl) == "prod"
		want := map[string][3]float64{"events": {10, 0, 50}, "retries": {100, 1, 20}}
		if prod {
			want = map[string][3]float64{"events": {10, 1, 500}, "retries": {100, 1, 100}}
		}
		for id, m := range tpl.of("AWS::Lambda::EventSourceMapping") {
			name := tpl.Resources[getAtt(m.at("EventSourceArn"))].at("QueueName").(string)
			lane := name[strings.LastIndex(name, "-")+1:]
			window, _ := m.at("MaximumBatchingWindowInSeconds").(float64)
			got := [3]float64{m.at("BatchSize").(float64), window, m.at("ScalingConfig.MaximumConcurrency").(float64)}
			if got != want[lane] {
				t.Errorf("%s: batch, window, concurrency: got %v, want %v", lane, got, want[lane])
			}
			// Lambda refuses it at deployment, and no validator does before.
			if got[0] > 10 && window < 1 {
				t.Errorf("%s: a batch of %v needs a window of a second", lane, got[0])
			}
			if m.at("FunctionResponseTypes.0") != "ReportBatchItemFailures" || tpl.Resources[at(m.at("FunctionName"), "Ref").(string)].at("FunctionName") != "hookferry-"+stageOf(tpl)+"-dispatcher" {
				t.Errorf("%s: %v", id, m.Properties)
			}
			delete(want, lane)
		}
		if len(want) > 0 {
			t.Errorf("no mapping of %v", want)
		}
	})
}

func TestInboundRoutesAreNeverTighterThanManagement(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		stage := tpl.one(t, "AWS::ApiGatewayV2::Stage", "", nil)
		usualRate, usualBurst := stage.at("DefaultRouteSettings.ThrottlingRateLimit").(float64), stage.at("DefaultRouteSettings.ThrottlingBurstLimit").(float64)
		keys := map[string]string{}
		for _, r := range tpl.of("AWS::ApiGatewayV2::Route") {
			keys[r.at("RouteKey").(string)] = targetOf(t, tpl, r)
		}
		want := map[string]string{
			"POST /in/{source}": "receiver", "POST /in/{source}/{token}": "receiver", "POST /api/v1/webhook-events": "api", "ANY /api/v1/{proxy+}": "api", "GET /.well-known/webhook-keys.json": "api",
			"GET /": "api", "GET /console": "api", "GET /console/{proxy+}": "api",
			"POST /general/update-webhook": "api", "POST /api/prod/v2/general/update-webhook": "api", "POST /api/staging/v2/general/update-webhook": "api",
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("routes (-want +got):\n%s", diff)
		}
		settings := stage.at("RouteSettings").(map[string]any)
		for _, key := range []string{"POST /in/{source}", "POST /in/{source}/{token}", "POST /api/v1/webhook-events"} {
			rate, _ := at(settings[key], "ThrottlingRateLimit").(float64)
			burst, _ := at(settings[key], "ThrottlingBurstLimit").(float64)
			if rate < usualRate || burst < usualBurst {
				t.Errorf("%s: %v and %v at once, management has %v and %v", key, rate, burst, usualRate, usualBurst)
			}
		}
		// Settings for a route that is not there yet fail the deployment.
		depends, _ := json.Marshal(stage.DependsOn)
		for id, r := range tpl.of("AWS::ApiGatewayV2::Route") {
			if settings[r.at("RouteKey").(string)] != nil && !strings.Contains(string(depends), `"`+id+`"`) {
				t.Errorf("the stage does not wait for %s", id)
			}
		}
	})
}

func TestAccessLogsHaveTheRouteAndNeverThePath(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		format := tpl.one(t, "AWS::ApiGatewayV2::Stage", "", nil).at("AccessLogSettings.Format").(string)
		var line map[string]string
		if err := json.Unmarshal([]byte(format), &line); err != nil {
			t.Fatalf("%s is no JSON: %v", format, err)
		}
		if line["routeKey"] != "$context.routeKey" || line["status"] != "$context.status" {
			t.Errorf("got %s", format)
		}
		// Values are put in without escaping: none may be a caller's.
		for _, never := range []string{"path", "Path", "queryString", "header", "domainName", "authorizer", "userAgent", "error.message", "integrationErrorMessage"} {
			if strings.Contains(format, "$context."+never) {
				t.Errorf("the line has %s", never)
			}
		}
	})
}

func TestEveryLogGroupEndsAndTheAuditLogLast(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		stage := stageOf(tpl)
		got := map[string]float64{}
		for _, g := range tpl.of("AWS::Logs::LogGroup") {
			days, _ := g.at("RetentionInDays").(float64)
			got[g.at("LogGroupName").(string)] = days
			if audit := g.at("LogGroupName") == "/hookferry/"+stage+"/api"; audit && stage == "prod" && (g.Deletion != "RetainExceptOnCreate" || g.at("DeletionProtectionEnabled") != true) {
				t.Error("the audit log of prod can be deleted")
			}
		}
		usual := map[string]float64{"dev": 30, "prod": 60}[stage]
		want := map[string]float64{"/hookferry/" + stage + "/receiver": usual, "/hookferry/" + stage + "/dispatcher": usual, "/hookferry/" + stage + "/repair": usual,
			"/hookferry/" + stage + "/api": 400, "/aws/vendedlogs/hookferry/" + stage + "/access": usual}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("days by log group (-want +got):\n%s", diff)
		}
	})
}

func TestTheKeyringIsGeneratedAndNeverInTheTemplate(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		secret := tpl.one(t, "AWS::SecretsManager::Secret", "", nil)
		if secret.at("SecretString") != nil || secret.at("GenerateSecretString.GenerateStringKey") != "generated" ||
			secret.at("GenerateSecretString.PasswordLength").(float64) < 43 || secret.at("GenerateSecretString.ExcludePunctuation") != true {
			t.Errorf("got %v", secret.Properties)
		}
		parseGenerated(t, secret)
		if len(tpl.of("AWS::SecretsManager::RotationSchedule")) > 0 {
			t.Error("a rotation would replace the keyring")
		}
	})
}

func TestTheRepairWalkIsScheduledWithAnEventWithoutRecords(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		rule := tpl.one(t, "AWS::Events::Rule", "", nil)
		if rule.at("ScheduleExpression") != "rate(5 minutes)" || rule.at("State") != "ENABLED" || rule.at("Targets.0.Input") != nil {
			t.Errorf("got %v", rule.Properties)
		}
		for i, name := range []string{"repair", "dispatcher"} {
			if tpl.Resources[getAtt(rule.at(fmt.Sprintf("Targets.%d.Arn", i)))].at("FunctionName") != "hookferry-"+stageOf(tpl)+"-"+name || rule.at(fmt.Sprintf("Targets.%d.Input", i)) != nil {
				t.Errorf("it starts %v, want %s", rule.at("Targets"), name)
			}
		}
	})
}

// stageOf returns the stage that the template is of.
func stageOf(tpl template) string {
	for _, r := range tpl.of("AWS::DynamoDB::Table") {
		return strings.Split(r.at("TableName").(string), "-")[1]
	}
	return ""
}

func (tpl template) function(t *testing.T, name string) resource {
	t.Helper()
	return tpl.one(t, "AWS::Lambda::Function", "FunctionName", "hookferry-"+stageOf(tpl)+"-"+name)
}

// getAtt returns whose attribute v is.
func getAtt(v any) string {
	name, _ := at(v, "Fn::GetAtt.0").(string)
	return name
}

// targetOf returns the function behind a route.
func targetOf(t *testing.T, tpl template, r resource) string {
	t.Helper()
	for id, i := range tpl.of("AWS::ApiGatewayV2::Integration") {
		if strings.Contains(text(r.at("Target")), id) {
			if i.at("PayloadFormatVersion") != "2.0" || i.at("IntegrationType") != "AWS_PROXY" {
				t.Errorf("integration: %v", i.Properties)
			}
			name := tpl.Resources[getAtt(i.at("IntegrationUri"))].at("FunctionName").(string)
			return name[strings.LastIndex(name, "-")+1:]
		}
	}
	return ""
}

// text joins what a value says, with references by their names.
func text(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case map[string]any:
		if join, ok := x["Fn::Join"].([]any); ok {
			var parts []string
			for _, p := range join[1].([]any) {
				parts = append(parts, text(p))
			}
			return strings.Join(parts, join[0].(string))
		}
		if ref, ok := x["Ref"].(string); ok {
			return "${" + ref + "}"
		}
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(x)) {
			parts = append(parts, text(x[k]))
		}
		return strings.Join(parts, " ")
	case []any:
		var parts []string
		for _, p := range x {
			parts = append(parts, text(p))
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}
