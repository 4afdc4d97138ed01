//go:build cdk

package main

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"
)

// A query is one of Logs Insights, saved for the operator.
type query struct {
	id, name string
	logs     []string // whose log groups
	text     string
}

// The messages and attributes of the lines that queries, the dashboard and the
// Contributor Insights rule read. A test finds each in the code that writes it.
const (
	lineAttemptFailed = "attempt failed"
	lineAudit         = "audit"
)

var queries = []query{
	{"QueryEndpoints", "1 whose endpoint fails", []string{"dispatcher"}, `filter msg = "attempt failed"
| stats count(*) as failures, latest(code) as last_code, latest(http_status) as last_status by endpoint, account
| sort failures desc
| limit 25`},
	{"QueryReasons", "2 why attempts fail", []string{"dispatcher"}, `filter msg = "attempt failed"
| stats count(*) as failures by code, http_status
| sort failures desc`},
	{"QueryRefused", "3 which provider calls are refused", []string{"receiver"}, `filter ispresent(reason)
| stats count(*) as calls by reason, source_id, status
| sort calls desc
| limit 50`},
	{"QueryErrors", "4 what fails on our side", []string{"dispatcher", "receiver", "api"}, `filter level = "ERROR"
| stats count(*) as times, latest(error) as last_error, latest(@timestamp) as last_at by msg, @log
| sort times desc`},
	{"QueryTrail", "5 the trail of an event (put its id in)", []string{"receiver", "api", "dispatcher"}, `fields @timestamp, @log, msg, request_id, event_id, event, endpoint, code, http_status, attempt, error
| filter event_id = "evt_" or event = "evt_" or request_id = "req_"
| sort @timestamp asc
| limit 200`},
	{"QuerySlow", "6 the slowest batches", []string{"dispatcher"}, `filter msg = "dispatch"
| fields @timestamp, duration_ms, batch_size_max, delivered, attempts_failed, hops, items_failed
| sort duration_ms desc
| limit 50`},
	{"QueryAudit", "7 who changed what", []string{"api"}, `filter msg = "audit"
| fields @timestamp, account, key, action, object, fields, request_id
| sort @timestamp desc
| limit 200`},
	{"QueryRoutes", "8 calls by route and status", []string{"access"}, `stats count(*) as calls, pct(latencyMs, 99) as p99_ms by routeKey, status
| sort calls desc`},
	{"QueryCallers", "9 who calls most", []string{"access"}, `stats count(*) as calls, sum(status >= 400) as refused by ip, routeKey
| sort calls desc
| limit 25`},
}

// addQueries saves the queries, and has Contributor Insights keep count of the
// endpoints whose attempts fail, which no metric could do within bounds.
func (s *stack) addQueries() {
	for _, q := range queries {
		var groups []any
		for _, log := range q.logs {
			groups = append(groups, s.logs[log].LogGroupName())
		}
		awslogs.NewCfnQueryDefinition(s.Stack, jsii.String(q.id), &awslogs.CfnQueryDefinitionProps{
			Name:          jsii.String("hookferry/" + s.p.Stage + "/" + q.name),
			QueryString:   jsii.String(q.text),
			LogGroupNames: &groups,
		})
	}
	if s.p.Watch == watchLoss {
		return
	}
	body, err := json.Marshal(map[string]any{
		"Schema":        map[string]any{"Name": "CloudWatchLogRule", "Version": 1},
		"LogGroupNames": []string{"/hookferry/" + s.p.Stage + "/dispatcher"},
		"LogFormat":     "JSON",
		"AggregateOn":   "Count",
		"Contribution": map[string]any{
			"Keys":    []string{"$.endpoint", "$.code"},
			"Filters": []any{map[string]any{"Match": "$.msg", "In": []string{lineAttemptFailed}}},
		},
	})
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	rule := awscloudwatch.NewCfnInsightRule(s.Stack, jsii.String("FailingEndpoints"), &awscloudwatch.CfnInsightRuleProps{
		RuleName: s.name("failing-endpoints"), RuleState: jsii.String("ENABLED"), RuleBody: jsii.String(string(body)),
	})
	rule.AddResourceDependency(s.logs["dispatcher"].Node().DefaultChild().(awslogs.CfnLogGroup), nil)
}

// lines returns the query for a widget of the dashboard.
func (q query) lines() *[]*string {
	return jsii.Strings(strings.Split(strings.ReplaceAll(q.text, "\n| ", "\n"), "\n")...)
}
