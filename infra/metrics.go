//go:build cdk

package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"hookferry/shared/telemetry"
)

// A series is one metric with a statistic: what an alarm or a graph is made of.
type series struct {
	namespace, name, statistic, label string
	dimensions                        map[string]*string
	minutes                           float64 // 0: one
}

func (m series) metric() awscloudwatch.IMetric {
	props := &awscloudwatch.MetricProps{
		Namespace: jsii.String(m.namespace), MetricName: jsii.String(m.name), Statistic: jsii.String(m.statistic),
		DimensionsMap: &m.dimensions, Period: awscdk.Duration_Minutes(jsii.Number(max(m.minutes, 1))),
	}
	if m.label != "" {
		props.Label = jsii.String(m.label)
	}
	return awscloudwatch.NewMetric(props)
}

func (m series) as(label string) series       { m.label = label; return m }
func (m series) over(minutes float64) series  { m.minutes = minutes; return m }
func (m series) stat(statistic string) series { m.statistic = statistic; return m }

// ours is a count or measure of package telemetry, as a function writes it.
func (s *stack) ours(function, name string) series {
	return series{namespace: telemetry.Namespace, name: name, statistic: "Sum", label: name, dimensions: map[string]*string{
		telemetry.DimensionStage: jsii.String(s.p.Stage), telemetry.DimensionFunction: jsii.String(function)}}
}

func (s *stack) count(function string, c telemetry.Count) series {
	return s.ours(function, string(c))
}

func (s *stack) measure(function string, m telemetry.Measure, statistic string) series {
	return s.ours(function, string(m)).stat(statistic).as(statistic)
}

// lambda is a metric that Lambda has of a function.
func (s *stack) lambda(function, name string) series {
	return series{namespace: "AWS/Lambda", name: name, statistic: "Sum", label: function,
		dimensions: map[string]*string{"FunctionName": s.name(function)}}
}

// queue is a metric that SQS has of a queue.
func (s *stack) queue(queue, name string) series {
	return series{namespace: "AWS/SQS", name: name, statistic: "Maximum", label: queue,
		dimensions: map[string]*string{"QueueName": s.name(queue)}}
}

// api is a metric that API Gateway has of the whole API.
func (s *stack) api(name string) series {
	return series{namespace: "AWS/ApiGateway", name: name, statistic: "Sum", label: name,
		dimensions: map[string]*string{"ApiId": s.gateway.Ref()}}
}

// tableMetric is a metric that DynamoDB has of the table.
func (s *stack) tableMetric(name string) series {
	return series{namespace: "AWS/DynamoDB", name: name, statistic: "Sum", label: name,
		dimensions: map[string]*string{"TableName": s.tableName()}}
}

// A formula is what is computed of series.
type formula struct {
	expression, label string
	of                map[string]series
	minutes           float64
}

func (f formula) metric() awscloudwatch.IMetric {
	using := map[string]awscloudwatch.IMetric{}
	for id, m := range f.of {
		using[id] = m.over(max(f.minutes, 1)).metric()
	}
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(f.expression), Label: jsii.String(f.label), UsingMetrics: &using,
		Period: awscdk.Duration_Minutes(jsii.Number(max(f.minutes, 1))),
	})
}

// A measured is a series or a formula.
type measured interface{ metric() awscloudwatch.IMetric }
