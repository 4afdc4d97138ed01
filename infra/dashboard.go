//go:build cdk

package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"hookferry/shared/telemetry"
)

// dashboardName has the region in it: dashboards are an account's, not a
// region's, and the same stage may be in two.
func (s *stack) dashboardName() string { return *s.name("relay") + "-" + *s.Region() }

// addDashboard lays out one page in the order of an operator's questions: is it
// healthy, what is failing, whose endpoint, how late are retries, what does it
// cost.
func (s *stack) addDashboard() {
	s.dashboard = awscloudwatch.NewDashboard(s.Stack, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{
		DashboardName:   jsii.String(s.dashboardName()),
		DefaultInterval: awscdk.Duration_Hours(jsii.Number(3)),
	})
	// Not every region takes tags on a dashboard yet.
	s.dashboard.Node().DefaultChild().(awscloudwatch.CfnDashboard).AddPropertyDeletionOverride(jsii.String("Tags"))
	row := func(widgets ...awscloudwatch.IWidget) { s.dashboard.AddWidgets(widgets...) }
	heading := func(text string) {
		row(awscloudwatch.NewTextWidget(&awscloudwatch.TextWidgetProps{
			Markdown: jsii.String(text), Width: jsii.Number(24), Height: jsii.Number(1), Background: awscloudwatch.TextWidgetBackground_TRANSPARENT}))
	}

	heading("## Is it healthy? Every alarm has a section of its name in infra/README.md")
	var alarms []interfacesawscloudwatch.IAlarmRef
	for _, a := range s.alarms {
		alarms = append(alarms, a)
	}
	row(awscloudwatch.NewAlarmStatusWidget(&awscloudwatch.AlarmStatusWidgetProps{
		Title: jsii.String("Alarms"), Alarms: &alarms, Width: jsii.Number(24), Height: jsii.Number(4)}))
	row(
		graph("Events a minute", 8,
			s.count("receiver", telemetry.Accepted).as("accepted from providers"), s.count("api", telemetry.Accepted).as("published"),
			s.count("dispatcher", telemetry.Delivered), s.count("dispatcher", telemetry.Duplicates)),
		graph("Accepting a provider's call, ms", 8,
			s.measure("receiver", telemetry.AcceptLatency, "p50"), s.measure("receiver", telemetry.AcceptLatency, "p99")),
		graph("From acceptance to first attempt, ms", 8,
			s.measure("dispatcher", telemetry.AcceptToAttempt, "p50"), s.measure("dispatcher", telemetry.AcceptToAttempt, "p99")),
	)

	heading("## What is failing?")
	var classes []measured
	for _, class := range attemptClasses {
		classes = append(classes, s.ours("dispatcher", telemetry.ClassMetric(telemetry.AttemptsFailed, class)).as(class))
	}
	var reasons []measured
	for _, reason := range rejectReasons {
		reasons = append(reasons, s.ours("receiver", telemetry.ClassMetric(telemetry.Rejected, reason)).as(reason))
	}
	row(
		graph("Failed attempts by class", 8, classes...),
		graph("Deliveries that ended badly", 8, s.count("dispatcher", telemetry.Exhausted), s.count("dispatcher", telemetry.Skipped),
			s.count("dispatcher", telemetry.Unmatched), s.count("dispatcher", telemetry.EndpointDisabled)),
		graph("Provider calls refused, by reason", 8, reasons...),
	)
	row(
		graph("On our side: errors and throttles", 8,
			s.lambda("receiver", "Errors").as("receiver errors"), s.lambda("api", "Errors").as("api errors"), s.lambda("dispatcher", "Errors").as("dispatcher errors"),
			s.lambda("receiver", "Throttles").as("receiver throttles"), s.lambda("api", "Throttles").as("api throttles"), s.lambda("dispatcher", "Throttles").as("dispatcher throttles"),
			s.tableMetric("WriteThrottleEvents"), s.tableMetric("ReadThrottleEvents")),
		graph("On our side: 5xx, messages that came again or were buried", 8,
			s.api("5xx"), s.count("api", telemetry.ServerErrors).as("api 5xx"), s.count("receiver", telemetry.ServerErrors).as("receiver 5xx"),
			s.count("dispatcher", telemetry.ItemsFailed), s.count("dispatcher", telemetry.Poisoned)),
		graph("Dead letters", 8,
			s.queue("events-dead", "ApproximateNumberOfMessagesVisible"), s.queue("retries-dead", "ApproximateNumberOfMessagesVisible")),
	)

	heading("## Whose endpoint?")
	row(s.table25(queries[0], 12), s.table25(queries[1], 12))

	s.addLateness(heading, row)

	heading("## What does it cost? Dollars an hour at list price; infra/README.md has the whole model")
	row(
		graph("Dollars an hour by part", 12, s.costs()...),
		graph("Table: units a minute", 6, s.tableMetric("ConsumedWriteCapacityUnits"), s.tableMetric("ConsumedReadCapacityUnits")),
		graph("Function time, ms", 6, s.lambda("receiver", "Duration").stat("p99"), s.lambda("api", "Duration").stat("p99"), s.lambda("dispatcher", "Duration").stat("p99")),
	)
}

// addLateness lays out how late retries are, and what they wait for.
func (s *stack) addLateness(heading func(string), row func(...awscloudwatch.IWidget)) {
	heading("## How late are retries?")
	row(
		graph("Retries: start after due time, ms", 8,
			s.measure("dispatcher", telemetry.RetryLateness, "p50"), s.measure("dispatcher", telemetry.RetryLateness, "p99"),
			s.measure("dispatcher", telemetry.RetryLateness, "Maximum").as("max")),
		graph(fmt.Sprintf("Oldest message, s (alarms at %d and %d)", eventsAgeSeconds, retriesAgeSeconds), 8,
			s.queue("events", "ApproximateAgeOfOldestMessage"), s.queue("retries", "ApproximateAgeOfOldestMessage")),
		graph("Waiting, and overdue", 8,
			s.queue("events", "ApproximateNumberOfMessagesVisible").as("events"), s.queue("retries", "ApproximateNumberOfMessagesVisible").as("retries due"),
			s.queue("retries", "ApproximateNumberOfMessagesDelayed").as("retries delayed"), s.count("repair", telemetry.Overdue)),
	)
	row(
		graph("One attempt, ms", 8, s.measure("dispatcher", telemetry.AttemptDuration, "p50"), s.measure("dispatcher", telemetry.AttemptDuration, "p99")),
		graph("Batches and hops", 8, s.measure("dispatcher", telemetry.BatchSize, "Average").as("messages in a batch"), s.count("dispatcher", telemetry.Hops)),
		graph("Functions at once", 8,
			s.lambda("receiver", "ConcurrentExecutions").stat("Maximum"), s.lambda("api", "ConcurrentExecutions").stat("Maximum"),
			s.lambda("dispatcher", "ConcurrentExecutions").stat("Maximum")),
	)
}

// costs is what the metered parts cost in an hour, from the prices that the
// cost model has.
func (s *stack) costs() []measured {
	lambdas, terms := map[string]series{}, ""
	for _, f := range functions {
		lambdas[f.name+"Calls"], lambdas[f.name+"Ms"] = s.lambda(f.name, "Invocations"), s.lambda(f.name, "Duration")
		terms += fmt.Sprintf(" + FILL(%sCalls, 0) * %.10f + FILL(%sMs, 0) * %.12f", f.name, price.lambdaRequests/1e6, f.name, f.memory/1024/1000*price.lambdaGBSecond)
	}
	return []measured{
		formula{fmt.Sprintf("FILL(calls, 0) * %.10f", price.httpAPI/1e6), "HTTP API", map[string]series{"calls": s.api("Count")}, 60},
		formula{terms[3:], "Lambda", lambdas, 60},
		formula{fmt.Sprintf("(FILL(e1, 0) + FILL(e2, 0) + FILL(e3, 0) + FILL(r1, 0) + FILL(r2, 0) + FILL(r3, 0)) * %.10f", price.sqsRequests/1e6), "SQS (a message is at least one request each way)", map[string]series{
			"e1": s.queue("events", "NumberOfMessagesSent").stat("Sum"), "e2": s.queue("events", "NumberOfMessagesReceived").stat("Sum"), "e3": s.queue("events", "NumberOfEmptyReceives").stat("Sum"),
			"r1": s.queue("retries", "NumberOfMessagesSent").stat("Sum"), "r2": s.queue("retries", "NumberOfMessagesReceived").stat("Sum"), "r3": s.queue("retries", "NumberOfEmptyReceives").stat("Sum")}, 60},
		formula{fmt.Sprintf("FILL(writes, 0) * %.10f + FILL(reads, 0) * %.10f", price.writeUnits/1e6, price.readUnits/1e6), "DynamoDB requests",
			map[string]series{"writes": s.tableMetric("ConsumedWriteCapacityUnits"), "reads": s.tableMetric("ConsumedReadCapacityUnits")}, 60},
		formula{fmt.Sprintf("(FILL(d, 0) + FILL(r, 0) + FILL(a, 0)) / 1000000000 * %.4f", price.logsGB), "Logs", map[string]series{
			"d": s.incoming("dispatcher"), "r": s.incoming("receiver"), "a": s.incoming("api")}, 60},
	}
}

func (s *stack) incoming(function string) series {
	return series{namespace: "AWS/Logs", name: "IncomingBytes", statistic: "Sum", label: function,
		dimensions: map[string]*string{"LogGroupName": jsii.String("/hookferry/" + s.p.Stage + "/" + function)}}
}

func graph(title string, width float64, of ...measured) awscloudwatch.IWidget {
	var left []awscloudwatch.IMetric
	for _, m := range of {
		left = append(left, m.metric())
	}
	return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
		Title: jsii.String(title), Left: &left, Width: jsii.Number(width), Height: jsii.Number(6),
		LeftYAxis: &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)},
	})
}

func (s *stack) table25(q query, width float64) awscloudwatch.IWidget {
	var groups []*string
	for _, log := range q.logs {
		groups = append(groups, s.logs[log].LogGroupName())
	}
	return awscloudwatch.NewLogQueryWidget(&awscloudwatch.LogQueryWidgetProps{
		Title: jsii.String(q.name[2:]), LogGroupNames: &groups, QueryLines: q.lines(),
		Width: jsii.Number(width), Height: jsii.Number(7), View: awscloudwatch.LogQueryVisualizationType_TABLE,
	})
}
