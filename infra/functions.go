//go:build cdk

package main

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsxray"
	"github.com/aws/jsii-runtime-go"

	"hookferry/shared/bounds"
)

// A role is what a function may do: actions on each resource. A test holds
// every action against the code that needs it, and the reverse.
type role map[string][]string

// The resources that roles name.
const (
	onTable       = "table"
	onRefusals    = "refusals" // of the table: the counts of what was refused alone
	onEvents      = "events"
	onRetries     = "retries"
	onEventsDead  = "events-dead"
	onRetriesDead = "retries-dead"
	onKeyring     = "keyring"
)

// A function is one of the four.
type function struct {
	name        string
	id          string // of its resources in the template
	description string
	memory      float64  // MB; README.md says from which measurement
	timeout     float64  // seconds
	audit       bool     // its log is the audit log
	loops       bool     // it sends to the queues that it is called from
	after       []string // functions that are updated before it
	role        role
}

// consume is what Lambda's own poller needs of a queue.
var consume = []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}

var functions = []function{
	{
		name: "receiver", id: "Receiver", description: "Verifies provider calls and makes them durable", after: []string{"dispatcher", "repair"},
		memory: 512, timeout: bounds.ReceiverFunction.Seconds(),
		role: role{
			onTable:    {"dynamodb:GetItem"},
			onRefusals: {"dynamodb:UpdateItem"},
			onEvents:   {"sqs:SendMessage"},
			onKeyring:  {"secretsmanager:GetSecretValue"},
		},
	},
	{
		name: "api", id: "Api", description: "Manages endpoints, sources and keys; publishes, tests, replays", after: []string{"dispatcher", "repair"},
		memory: 512, timeout: bounds.APIFunction.Seconds(), audit: true,
		role: role{
			onTable:   {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"},
			onEvents:  {"sqs:SendMessage"},
			onRetries: {"sqs:SendMessage"},
			onKeyring: {"secretsmanager:GetSecretValue"},
		},
	},
	{
		name: "dispatcher", id: "Dispatcher", description: "Records events and delivers them",
		memory: 512, timeout: functionTimeout, loops: true,
		role: role{
			onTable:       {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"},
			onEvents:      append([]string{"sqs:SendMessage", "sqs:ChangeMessageVisibility"}, consume...),
			onRetries:     append([]string{"sqs:SendMessage", "sqs:ChangeMessageVisibility"}, consume...),
			onEventsDead:  {"sqs:SendMessage"},
			onRetriesDead: {"sqs:SendMessage"},
			onKeyring:     {"secretsmanager:GetSecretValue"},
		},
	},
	{
		name: "repair", id: "RepairWalk", description: "Finds deliveries whose next attempt is late",
		memory: 256, timeout: bounds.RepairFunction.Seconds(), after: []string{"dispatcher"},
		role: role{
			onTable:   {"dynamodb:Query"},
			onRetries: {"sqs:SendMessage"},
		},
	},
}

// auditDays is how long the API's log, which holds the audit lines, is kept.
const auditDays = 400

func (s *stack) arn(resource string) *string {
	return map[string]*string{
		onTable:       s.tableARN(),
		onRefusals:    s.tableARN(),
		onEvents:      s.lanes["events"].queue.QueueArn(),
		onRetries:     s.lanes["retries"].queue.QueueArn(),
		onEventsDead:  s.lanes["events"].dead.QueueArn(),
		onRetriesDead: s.lanes["retries"].dead.QueueArn(),
		onKeyring:     s.keyring.SecretArn(),
	}[resource]
}

// environment is what the functions read, package config's names.
func (s *stack) environment() map[string]*string {
	env := map[string]*string{
		"PUBLIC_URL":             s.url,
		"TABLE_NAME":             s.tableName(),
		"EVENTS_QUEUE_URL":       s.lanes["events"].queue.QueueUrl(),
		"RETRIES_QUEUE_URL":      s.lanes["retries"].queue.QueueUrl(),
		"EVENTS_DLQ_URL":         s.lanes["events"].dead.QueueUrl(),
		"RETRIES_DLQ_URL":        s.lanes["retries"].dead.QueueUrl(),
		"SEALING_KEYRING_SECRET": s.keyring.SecretArn(),
	}
	for name, value := range s.p.Settings {
		env[name] = jsii.String(value)
	}
	return env
}

func (s *stack) addFunctions() {
	s.functions = map[string]awslambda.Function{}
	environment := s.environment()
	for _, f := range functions {
		s.functions[f.name] = s.addFunction(f, environment)
	}
	// What reads a message is there before what writes it: in an update a function
	// waits for those that take what it sends.
	for _, f := range functions {
		for _, before := range f.after {
			s.functions[f.name].Node().DefaultChild().(awslambda.CfnFunction).AddResourceDependency(
				s.functions[before].Node().DefaultChild().(awslambda.CfnFunction), nil)
		}
	}
	s.addSampling()
	s.addMappings()
	s.addRepair()
}

func (s *stack) addFunction(f function, environment map[string]*string) awslambda.Function {
	id := f.id
	group := s.addLogGroup(f.name, id+"Logs", "/hookferry/"+s.p.Stage+"/"+f.name, f.audit)
	statements := []awsiam.PolicyStatement{allow(group.LogGroupArn(), "logs:CreateLogStream", "logs:PutLogEvents")}
	for _, resource := range slices.Sorted(maps.Keys(f.role)) {
		statement := allow(s.arn(resource), f.role[resource]...)
		if resource == onRefusals {
			// Whoever gets hold of the function that faces the outside can write
			// counts, and no source, key or event.
			statement.AddCondition(jsii.String("ForAllValues:StringLike"), map[string]any{"dynamodb:LeadingKeys": []string{"R#*"}})
		}
		if f.name == "receiver" && resource == onTable {
			// It reads sources and nothing else: not events, endpoints or keys.
			statement.AddCondition(jsii.String("ForAllValues:StringLike"), map[string]any{"dynamodb:LeadingKeys": []string{"S#*"}})
			// Without a key in the request the condition above would hold.
			statement.AddCondition(jsii.String("Null"), map[string]any{"dynamodb:LeadingKeys": "false"})
		}
		statements = append(statements, statement)
	}
	if s.p.TraceRate > 0 {
		// X-Ray has no resources to name: the one star there is.
		statements = append(statements, allow(jsii.String("*"), "xray:PutTraceSegments", "xray:PutTelemetryRecords"))
	}
	r := awsiam.NewRole(s.Stack, jsii.String(id+"Role"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
		Description: jsii.String("What the function " + f.name + " of Hookferry may do"),
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			f.name: awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements}),
		},
	})
	props := &awslambda.FunctionProps{
		FunctionName: s.name(f.name),
		Description:  jsii.String(describe(f, s.p.Revision)),
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture: awslambda.Architecture_ARM_64(),
		Handler:      jsii.String("bootstrap"),
		Code:         awslambda.Code_FromAsset(jsii.String(filepath.Join(s.p.Assets, f.name)), nil),
		MemorySize:   jsii.Number(s.memory(f)),
		Timeout:      awscdk.Duration_Seconds(jsii.Number(f.timeout)),
		// The role is whole: nothing that the library would add belongs in it.
		Role:        r.WithoutPolicyUpdates(nil),
		Environment: &environment,
		LogGroup:    group,
		// Lambda's own lines about each invocation would cost more than ours. It
		// filters none of ours: what it drops would be metrics too, and the
		// functions have LOG_LEVEL.
		LoggingFormat:         awslambda.LoggingFormat_JSON,
		SystemLogLevelV2:      awslambda.SystemLogLevel_WARN,
		ApplicationLogLevelV2: awslambda.ApplicationLogLevel_TRACE,
		Tracing:               awslambda.Tracing_DISABLED,
	}
	if s.p.TraceRate > 0 {
		props.Tracing = awslambda.Tracing_ACTIVE
	}
	if reserved := map[string]int{"receiver": s.p.ReceiverReserved, "api": s.p.APIReserved}[f.name]; reserved > 0 {
		props.ReservedConcurrentExecutions = jsii.Number(reserved)
	}
	if f.loops {
		// Lambda takes a retry that comes round for the sixteenth time for a bug
		// and drops it. Our own guard is each message's give-up time.
		props.RecursiveLoop = awslambda.RecursiveLoop_ALLOW
	}
	return awslambda.NewFunction(s.Stack, jsii.String(id), props)
}

// memory is a function's, in MB.
func (s *stack) memory(f function) float64 {
	if f.name == "dispatcher" {
		return float64(s.p.DispatcherMemory)
	}
	return f.memory
}

func describe(f function, revision string) string {
	if revision == "" {
		return f.description
	}
	return f.description + " (" + revision + ")"
}

func allow(resource *string, actions ...string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings(actions...), Resources: &[]*string{resource},
	})
}

// addLogGroup makes a log group. The audit log outlives all others, and the
// stack where that is protected.
func (s *stack) addLogGroup(name, id, group string, audit bool) awslogs.LogGroup {
	days, removal := s.p.LogRetentionDays, awscdk.RemovalPolicy_DESTROY
	if audit {
		days, removal = auditDays, s.removal()
	}
	g := awslogs.NewLogGroup(s.Stack, jsii.String(id), &awslogs.LogGroupProps{
		LogGroupName: jsii.String(group), RemovalPolicy: removal,
		DeletionProtectionEnabled: jsii.Bool(audit && s.locked()),
	})
	g.Node().DefaultChild().(awslogs.CfnLogGroup).SetRetentionInDays(jsii.Number(days))
	if s.logs == nil {
		s.logs = map[string]awslogs.LogGroup{}
	}
	s.logs[name] = g
	return g
}

// addSampling keeps X-Ray's bill small: a share of the invocations, and no more
// than one a second besides.
func (s *stack) addSampling() {
	if s.p.TraceRate == 0 {
		return
	}
	awsxray.NewCfnSamplingRule(s.Stack, jsii.String("Sampling"), &awsxray.CfnSamplingRuleProps{
		SamplingRule: &awsxray.CfnSamplingRule_SamplingRuleProperty{
			RuleName: s.name("sampling"), Priority: jsii.Number(1000), Version: jsii.Number(1),
			FixedRate: jsii.Number(s.p.TraceRate), ReservoirSize: jsii.Number(0),
			ServiceName: jsii.String("hookferry-" + s.p.Stage + "-*"), ServiceType: jsii.String("AWS::Lambda::Function"),
			Host: jsii.String("*"), HttpMethod: jsii.String("*"), UrlPath: jsii.String("*"), ResourceArn: jsii.String("*"),
		},
	})
}

// addMappings connects the queues to the dispatcher. Events are taken as they
// come, since each is to be delivered at once. Retries, most of which only hop
// on, are gathered for a second, which is what batches over ten need.
func (s *stack) addMappings() {
	for _, m := range []struct {
		id, lane      string
		batch, window float64
		concurrency   int
	}{
		{"EventsMapping", "events", 10, float64(s.p.EventsWindow), s.p.EventsConcurrency},
		{"RetriesMapping", "retries", 100, 1, s.p.RetriesConcurrency},
	} {
		awslambda.NewEventSourceMapping(s.Stack, jsii.String(m.id), &awslambda.EventSourceMappingProps{
			Target:                  s.functions["dispatcher"],
			EventSourceArn:          s.lanes[m.lane].queue.QueueArn(),
			BatchSize:               jsii.Number(m.batch),
			MaxBatchingWindow:       awscdk.Duration_Seconds(jsii.Number(m.window)),
			MaxConcurrency:          jsii.Number(m.concurrency),
			ReportBatchItemFailures: jsii.Bool(true),
		})
	}
}

// repairMinutes is how often deliveries that are late are looked for.
const repairMinutes = 5

// addRepair has the repair walk started on a schedule, and the dispatcher called
// with the same event, which has no Records, so that it writes what it has counted.
// Neither is tried again, since the next one is near.
func (s *stack) addRepair() {
	var targets []any
	for _, name := range []string{"repair", "dispatcher"} {
		targets = append(targets, &awsevents.CfnRule_TargetProperty{
			Id: jsii.String(name), Arn: s.functions[name].FunctionArn(),
			RetryPolicy: &awsevents.CfnRule_RetryPolicyProperty{
				MaximumRetryAttempts: jsii.Number(0), MaximumEventAgeInSeconds: jsii.Number(60 * repairMinutes)},
		})
	}
	rule := awsevents.NewCfnRule(s.Stack, jsii.String("Repair"), &awsevents.CfnRuleProps{
		Name:               s.name("repair"),
		Description:        jsii.String("Finds deliveries whose next attempt is late"),
		ScheduleExpression: jsii.Sprintf("rate(%d minutes)", repairMinutes),
		State:              jsii.String("ENABLED"),
		Targets:            &targets,
	})
	for _, n := range [][2]string{{"RepairPermission", "repair"}, {"SettlePermission", "dispatcher"}} {
		id, name := n[0], n[1]
		awslambda.NewCfnPermission(s.Stack, jsii.String(id), &awslambda.CfnPermissionProps{
			Action: jsii.String("lambda:InvokeFunction"), Principal: jsii.String("events.amazonaws.com"),
			FunctionName: s.functions[name].FunctionArn(), SourceArn: rule.AttrArn(),
		})
		s.functions[name].ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{
			RetryAttempts: jsii.Number(0), MaxEventAge: awscdk.Duration_Minutes(jsii.Number(repairMinutes)),
		})
	}
}
