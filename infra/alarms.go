//go:build cdk

package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsbudgets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"hookferry/shared/telemetry"
)

// An alarm is one thing that an operator is told. Each has a section of the same
// name in README.md.
type alarm struct {
	name, id  string
	says      string
	of        measured
	threshold float64 // the first value that is bad
	periods   int
	loss      bool // it means that something is being lost
	bad       int  // how many of the periods; 0: all
	below     bool // bad is under the threshold, and no data is bad too
}

// Thresholds of alarms that README.md or the dashboard name too.
const (
	eventsAgeSeconds = 120
	// A retry may wait a hop of 900 s on the queue; the rest is lateness.
	retriesAgeSeconds = 1500
	acceptLatencyMS   = 1000
	serverErrorShare  = 1  // per cent of calls, of at least 20
	exhaustedShare    = 10 // per cent of deliveries that ended, of at least 20
)

func (s *stack) alarmList() []alarm {
	share := func(part, whole string) string {
		return "IF(" + whole + " >= 20, 100 * " + part + " / (" + whole + "), 0)"
	}
	list := []alarm{
		{name: "events-dead-letters", id: "EventsDeadLetters", says: "Events could not be processed and wait in the dead-letter queue",
			of: s.queue("events-dead", "ApproximateNumberOfMessagesVisible"), threshold: 1, periods: 1, loss: true},
		{name: "retries-dead-letters", id: "RetriesDeadLetters", says: "Retries could not be processed and wait in the dead-letter queue",
			of: s.queue("retries-dead", "ApproximateNumberOfMessagesVisible"), threshold: 1, periods: 1, loss: true},
		{name: "events-age", id: "EventsAge", says: "Accepted events wait too long for their first attempt",
			of: s.queue("events", "ApproximateAgeOfOldestMessage"), threshold: eventsAgeSeconds, periods: 3},
		{name: "retries-age", id: "RetriesAge", says: "Retries wait longer than a hop takes",
			of: s.queue("retries", "ApproximateAgeOfOldestMessage"), threshold: retriesAgeSeconds, periods: 3},
		{name: "overdue", id: "Overdue", says: "Deliveries were found whose next attempt is over ten minutes late",
			of: s.count("repair", telemetry.Overdue).over(repairMinutes), threshold: 1, periods: 3, bad: 2},
		{name: "repair-silent", id: "RepairSilent", says: "No repair walk has come to its end for a quarter of an hour",
			of: s.count("repair", telemetry.RepairWalks).over(3 * repairMinutes), threshold: 1, periods: 1, below: true, loss: true},
		{name: "provider-refused", id: "ProviderRefused", says: "A provider's call was refused by our fault; Sivi calls only once",
			of: formula{"FILL(failed, 0) + FILL(busy, 0) + FILL(gateway, 0)", "refused", map[string]series{
				"failed": s.count("receiver", telemetry.ServerErrors), "busy": s.ours("receiver", telemetry.ClassMetric(telemetry.Rejected, "busy")),
				"gateway": {namespace: gatewayNamespace, name: s.gatewayRefused(), statistic: "Sum"}}, 1},
			threshold: 1, periods: 1, loss: true},
	}
	for _, f := range functions {
		if f.name == "repair" {
			continue // repair-silent is about its success
		}
		id := f.id
		list = append(list,
			alarm{name: f.name + "-errors", id: id + "Errors", says: "The function " + f.name + " crashed or ran out of time",
				of: s.lambda(f.name, "Errors"), threshold: 1, periods: 5, bad: 2},
			alarm{name: f.name + "-throttles", id: id + "Throttles", says: "The function " + f.name + " was refused for lack of concurrency",
				of: s.lambda(f.name, "Throttles"), threshold: 1, periods: 5, bad: 2})
	}
	return append(list,
		alarm{name: "server-errors", id: "ServerErrors", says: "Over 1 % of calls are answered with 5xx",
			of: formula{share("errors", "calls"), "5xx, %", map[string]series{"errors": s.api("5xx"), "calls": s.api("Count")}, 1}, threshold: serverErrorShare, periods: 5, bad: 3},
		alarm{name: "accept-latency", id: "AcceptLatency", says: "The slowest hundredth of provider calls takes over a second to accept",
			of: s.measure("receiver", telemetry.AcceptLatency, "p99"), threshold: acceptLatencyMS, periods: 5, bad: 3},
		alarm{name: "exhausted-share", id: "ExhaustedShare", says: "Over 10 % of the deliveries that ended have failed for good",
			of: formula{share("exhausted", "FILL(exhausted, 0) + FILL(delivered, 0)"), "exhausted, %", map[string]series{
				"exhausted": s.count("dispatcher", telemetry.Exhausted), "delivered": s.count("dispatcher", telemetry.Delivered)}, 5},
			threshold: exhaustedShare, periods: 3, bad: 2},
		alarm{name: "table-throttles", id: "TableThrottles", says: "The table refuses reads or writes",
			of: formula{"FILL(reads, 0) + FILL(writes, 0)", "throttled", map[string]series{
				"reads": s.tableMetric("ReadThrottleEvents"), "writes": s.tableMetric("WriteThrottleEvents")}, 1},
			threshold: 1, periods: 5, bad: 3},
		alarm{name: "endpoint-disabled", id: "EndpointDisabled", says: "Hookferry has disabled an endpoint that is gone or only fails",
			of: s.count("dispatcher", telemetry.EndpointDisabled).over(5), threshold: 1, periods: 1},
	)
}

// addBudget has AWS look at the account's bill, which a flood of calls that are
// all refused raises too.
func (s *stack) addBudget() {
	if s.p.BudgetUSD == 0 {
		return
	}
	var notifications []any
	for _, kind := range []string{"ACTUAL", "FORECASTED"} {
		notifications = append(notifications, &awsbudgets.CfnBudget_NotificationWithSubscribersProperty{
			Notification: &awsbudgets.CfnBudget_NotificationProperty{
				ComparisonOperator: jsii.String("GREATER_THAN"), NotificationType: jsii.String(kind), Threshold: jsii.Number(80), ThresholdType: jsii.String("PERCENTAGE")},
			Subscribers: &[]any{&awsbudgets.CfnBudget_SubscriberProperty{Address: jsii.String(s.p.AlarmEmail), SubscriptionType: jsii.String("EMAIL")}},
		})
	}
	awsbudgets.NewCfnBudget(s.Stack, jsii.String("Budget"), &awsbudgets.CfnBudgetProps{
		Budget: &awsbudgets.CfnBudget_BudgetDataProperty{
			BudgetName: jsii.String(*s.name("budget") + "-" + *s.Region()), BudgetType: jsii.String("COST"), TimeUnit: jsii.String("MONTHLY"),
			BudgetLimit: &awsbudgets.CfnBudget_SpendProperty{Amount: jsii.Number(s.p.BudgetUSD), Unit: jsii.String("USD")}},
		NotificationsWithSubscribers: &notifications,
	})
}

// addAlarms makes the topic and the alarms.
func (s *stack) addAlarms() {
	topic := awssns.NewTopic(s.Stack, jsii.String("Alarms"), &awssns.TopicProps{
		TopicName: s.name("alarms"), DisplayName: jsii.String("Hookferry " + s.p.Stage), EnforceSSL: jsii.Bool(true),
	})
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("AlarmsOfThisAccount"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"), Resources: &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": s.Account()}},
	}))
	if s.p.AlarmEmail != "" {
		awssns.NewSubscription(s.Stack, jsii.String("AlarmMail"), &awssns.SubscriptionProps{
			Topic: topic, Protocol: awssns.SubscriptionProtocol_EMAIL, Endpoint: jsii.String(s.p.AlarmEmail),
		})
	}
	s.addBudget()
	for _, a := range s.alarmList() {
		if s.p.Watch == watchLoss && !a.loss {
			continue
		}
		props := &awscloudwatch.AlarmProps{
			AlarmName:          s.name(a.name),
			AlarmDescription:   jsii.String(a.says + ". What to do: infra/README.md, section " + a.name),
			Metric:             a.of.metric(),
			Threshold:          jsii.Number(a.threshold),
			EvaluationPeriods:  jsii.Number(a.periods),
			DatapointsToAlarm:  jsii.Number(max(a.bad, 0)),
			ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
			TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
		}
		if a.bad == 0 {
			props.DatapointsToAlarm = jsii.Number(a.periods)
		}
		if a.below {
			props.ComparisonOperator = awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD
			props.TreatMissingData = awscloudwatch.TreatMissingData_BREACHING
		}
		made := awscloudwatch.NewAlarm(s.Stack, jsii.String("Alarm"+a.id), props)
		cfn := made.Node().DefaultChild().(awscloudwatch.CfnAlarm)
		cfn.SetAlarmActions(&[]*string{topic.TopicArn()})
		cfn.SetOkActions(&[]*string{topic.TopicArn()})
		s.alarms = append(s.alarms, made)
	}
}
