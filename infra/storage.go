//go:build cdk

package main

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
)

// functionTimeout is the longest invocation of the dispatcher, in seconds. SQS
// wants messages to stay hidden for six times as long.
const (
	functionTimeout   = float64(bounds.DispatcherFunction / time.Second)
	visibilityTimeout = 6 * functionTimeout
)

// messageRetention is the longest there is. In a dead-letter queue it counts
// from the first send, so that it is also the time to put messages back in.
const messageRetention = 14

func (s *stack) addTable() {
	props := &awsdynamodb.TableProps{
		TableName:           s.name("table"),
		PartitionKey:        &awsdynamodb.Attribute{Name: jsii.String("pk"), Type: awsdynamodb.AttributeType_STRING},
		SortKey:             &awsdynamodb.Attribute{Name: jsii.String("sk"), Type: awsdynamodb.AttributeType_STRING},
		BillingMode:         awsdynamodb.BillingMode_PAY_PER_REQUEST,
		TimeToLiveAttribute: jsii.String("x"),
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true), RecoveryPeriodInDays: jsii.Number(35),
		},
		DeletionProtection: jsii.Bool(s.locked()),
		RemovalPolicy:      s.removal(),
	}
	if s.p.WarmReads > 0 || s.p.WarmWrites > 0 {
		// DynamoDB wants both; these are what any new table takes.
		props.WarmThroughput = &awsdynamodb.WarmThroughput{
			ReadUnitsPerSecond:  jsii.Number(max(s.p.WarmReads, 12000)),
			WriteUnitsPerSecond: jsii.Number(max(s.p.WarmWrites, 4000)),
		}
	}
	s.table = awsdynamodb.NewTable(s.Stack, jsii.String("Table"), props)
}

// tableName is the table that is worked with: the stack's own, or one that was
// restored beside it from recovery (parameter tableName).
func (s *stack) tableName() *string {
	if s.p.TableName != "" {
		return jsii.String(s.p.TableName)
	}
	return s.table.TableName()
}

func (s *stack) tableARN() *string {
	if s.p.TableName != "" {
		return s.FormatArn(&awscdk.ArnComponents{Service: jsii.String("dynamodb"), Resource: jsii.String("table"), ResourceName: jsii.String(s.p.TableName)})
	}
	return s.table.TableArn()
}

// addKeyring makes the secret with a first key that CloudFormation has Secrets
// Manager generate: neither the template nor a person ever holds it. package
// seal derives key 1 from the text.
func (s *stack) addKeyring() {
	s.keyring = awssecretsmanager.NewSecret(s.Stack, jsii.String("Keyring"), &awssecretsmanager.SecretProps{
		SecretName:  s.name("keyring"),
		Description: jsii.String("Seals the secrets on the table. Losing it loses them: see the runbook before any change"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			SecretStringTemplate: jsii.String(`{"keys":{}}`),
			GenerateStringKey:    jsii.String("generated"),
			PasswordLength:       jsii.Number(64),
			ExcludePunctuation:   jsii.Bool(true),
		},
		RemovalPolicy: s.removal(),
	})
}

func (s *stack) addLanes() {
	s.lanes = map[string]lane{}
	for _, n := range [][2]string{{"events", "Events"}, {"retries", "Retries"}} {
		name, id := n[0], n[1]
		// A dead-letter queue names the queue that may use it, which names it: a
		// circle, unless one goes by its fixed name.
		source := awssqs.Queue_FromQueueArn(s.Stack, jsii.String(id+"Source"), s.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("sqs"), Resource: s.name(name)}))
		dead := awssqs.NewQueue(s.Stack, jsii.String(id+"DeadLetters"), &awssqs.QueueProps{
			QueueName:       s.name(name + "-dead"),
			RetentionPeriod: awscdk.Duration_Days(jsii.Number(messageRetention)),
			Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
			EnforceSSL:      jsii.Bool(true),
			RedriveAllowPolicy: &awssqs.RedriveAllowPolicy{
				RedrivePermission: awssqs.RedrivePermission_BY_QUEUE, SourceQueues: &[]awssqs.IQueue{source},
			},
			RemovalPolicy: s.removal(),
		})
		queue := awssqs.NewQueue(s.Stack, jsii.String(id), &awssqs.QueueProps{
			QueueName:              s.name(name),
			VisibilityTimeout:      awscdk.Duration_Seconds(jsii.Number(visibilityTimeout)),
			RetentionPeriod:        awscdk.Duration_Days(jsii.Number(messageRetention)),
			ReceiveMessageWaitTime: awscdk.Duration_Seconds(jsii.Number(20)),
			MaxMessageSizeBytes:    jsii.Number(relay.MaxMessageSize),
			Encryption:             awssqs.QueueEncryption_SQS_MANAGED,
			EnforceSSL:             jsii.Bool(true),
			DeadLetterQueue:        &awssqs.DeadLetterQueue{Queue: dead, MaxReceiveCount: jsii.Number(relay.MaxReceives)},
			RemovalPolicy:          s.removal(),
		})
		s.lanes[name] = lane{queue, dead}
	}
}
