//go:build cdk

package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"
)

// stack is one deployment. Its fields are filled in this order, each from what
// comes before it.
type stack struct {
	awscdk.Stack
	p Parameters

	table   awsdynamodb.Table
	keyring awssecretsmanager.Secret
	lanes   map[string]lane // events, retries

	functions map[string]awslambda.Function // receiver, api, dispatcher, repair
	logs      map[string]awslogs.LogGroup   // by function, and access

	gateway awsapigatewayv2.CfnApi
	url     *string

	alarms    []awscloudwatch.Alarm
	dashboard awscloudwatch.Dashboard
}

// A lane is a queue and its dead-letter queue.
type lane struct{ queue, dead awssqs.Queue }

// NewStack adds a deployment to the app.
func NewStack(app awscdk.App, p Parameters) awscdk.Stack {
	s := &stack{p: p}
	s.Stack = awscdk.NewStack(app, jsii.String("Hookferry-"+p.Stage), &awscdk.StackProps{
		StackName:             jsii.String("hookferry-" + p.Stage),
		Description:           jsii.String("Hookferry, a webhook relay: stage " + p.Stage),
		TerminationProtection: jsii.Bool(p.DeletionProtection && !p.FirstDeployment),
	})
	tags := map[string]string{"app": "hookferry", "stage": p.Stage}
	maps.Copy(tags, p.Tags)
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		awscdk.Tags_Of(s.Stack).Add(jsii.String(key), jsii.String(tags[key]), nil)
	}
	s.addTable()
	s.addKeyring()
	s.addLanes()
	s.addGateway()
	s.addFunctions()
	s.addRoutes()
	s.addAlarms()
	s.addQueries()
	if p.Watch == watchFull {
		s.addDashboard()
	}
	s.addOutputs()
	return s.Stack
}

// name is what a thing of this stage is called. Names are fixed, so that the
// commands of the runbook can be written down and a policy can name a queue
// before it exists.
func (s *stack) name(what string) *string {
	return jsii.String("hookferry-" + s.p.Stage + "-" + what)
}

// removal is what becomes of things that hold what cannot be had again, when
// they leave the stack. A first deployment that fails leaves nothing behind, or
// it could not be tried again: the names are fixed.
func (s *stack) removal() awscdk.RemovalPolicy {
	if s.p.DeletionProtection {
		return awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE
	}
	return awscdk.RemovalPolicy_DESTROY
}

// locked says whether what must not be deleted is locked as well. In the first
// deployment it is not, since a lock would keep a failed one from being undone;
// make deploy knows which one is the first.
func (s *stack) locked() bool { return s.p.DeletionProtection && !s.p.FirstDeployment }

// firstTable is the table's name as the commands of people have it.
func (s *stack) firstTable() string {
	if s.p.TableName != "" {
		return s.p.TableName
	}
	return *s.name("table")
}

func (s *stack) addOutputs() {
	region := *s.Region()
	out := func(id, description string, value *string) {
		awscdk.NewCfnOutput(s.Stack, jsii.String(id), &awscdk.CfnOutputProps{Value: value, Description: jsii.String(description)})
	}
	out("ApiUrl", "Where the API and the receiver are", s.url)
	out("TableName", "The table", s.tableName())
	out("KeyringSecret", "The secret that holds the sealing keyring", s.keyring.SecretArn())
	for _, name := range []string{"events", "retries"} {
		id := map[string]string{"events": "Events", "retries": "Retries"}[name]
		out(id+"QueueUrl", "The queue "+name, s.lanes[name].queue.QueueUrl())
		out(id+"DeadLettersUrl", "What the queue "+name+" gave up", s.lanes[name].dead.QueueUrl())
	}
	if s.p.Watch == watchLoss {
		s.addFirstKey(out)
		return
	}
	out("DashboardUrl", "Is it healthy", jsii.Sprintf("https://%s.console.aws.amazon.com/cloudwatch/home?region=%s#dashboards/dashboard/%s",
		region, region, s.dashboardName()))
	s.addFirstKey(out)
}

func (s *stack) addFirstKey(out func(id, description string, value *string)) {
	out("FirstKey", "How to make the first API key, with credentials of this account", jsii.String(
		fmt.Sprintf("AWS_REGION=%s go run ./functions/hookferry keys create -table %s -account NAME -scopes all", *s.Region(), s.firstTable())))
}
