package main

import (
	"context"
	"fmt"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/pflag"

	"hookferry/shared/config"
	"hookferry/shared/dynamo"
	"hookferry/shared/sqsqueue"
)

// backendFlags say where an operator's command works: on a data folder, or with
// AWS credentials on a deployed table and its queues.
type backendFlags struct {
	data, table *string
	// make: a data folder that is not there yet is made.
	make bool
}

func addBackendFlags(fs *pflag.FlagSet) backendFlags {
	return backendFlags{
		data: fs.String("data", "", "data folder `DIR` of dev or serve"),
		table: fs.String("table", "", "deployed DynamoDB `table` (default: TABLE_NAME), with the AWS credentials of the\n"+
			"environment; queues are named by EVENTS_QUEUE_URL, RETRIES_QUEUE_URL,\nEVENTS_DLQ_URL and RETRIES_DLQ_URL"),
	}
}

func (f backendFlags) open(ctx context.Context, p program) (backend, error) {
	cfg, err := config.Load(p.lookup)
	if err != nil {
		return backend{}, err
	}
	table := *f.table
	if table == "" {
		table = cfg.TableName
	}
	switch {
	case *f.data != "" && *f.table != "":
		return backend{}, usagef("give -data or -table, not both")
	case *f.data != "" && f.make:
		return firstData(ctx, *f.data, cfg.Retention)
	case *f.data != "":
		return existingData(ctx, *f.data, cfg.Retention)
	case table == "":
		return backend{}, usagef("say where: -data DIR of hookferry dev or serve, or -table NAME of a deployment")
	}
	return openAWS(ctx, awsPlaces{
		table: table, shards: cfg.Shards,
		queues: [2]sqsqueue.Config{
			{URL: cfg.EventsQueueURL, DeadURL: cfg.EventsDLQURL, Now: time.Now},
			{URL: cfg.RetriesQueueURL, DeadURL: cfg.RetriesDLQURL, Now: time.Now},
		},
	}, cfg.Retention)
}

// awsPlaces name what a deployment made.
type awsPlaces struct {
	table  string
	shards int
	queues [2]sqsqueue.Config // events, retries
}

// openAWS opens the AWS adapters with the SDK's own environment: region,
// credentials, and AWS_ENDPOINT_URL_… for stand-ins.
func openAWS(ctx context.Context, at awsPlaces, retention time.Duration) (backend, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return backend{}, fmt.Errorf("AWS configuration: %w", err)
	}
	sqsClient := sqs.NewFromConfig(cfg)
	return backend{
		store: dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{
			Table: at.table, Shards: at.shards, Retention: retention, Now: time.Now,
		}),
		events:  sqsqueue.New(sqsClient, at.queues[0]),
		retries: sqsqueue.New(sqsClient, at.queues[1]),
		close:   func() error { return nil },
	}, nil
}

// makeAWS makes the table and queues where they are missing, for dev.
func makeAWS(ctx context.Context, prefix string, shards int, retention time.Duration) (backend, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return backend{}, fmt.Errorf("AWS configuration: %w", err)
	}
	if err := dynamo.CreateTable(ctx, dynamodb.NewFromConfig(cfg), prefix); err != nil {
		return backend{}, err
	}
	urls, err := sqsqueue.CreateQueues(ctx, sqs.NewFromConfig(cfg), prefix)
	if err != nil {
		return backend{}, err
	}
	return openAWS(ctx, awsPlaces{table: prefix, shards: shards, queues: [2]sqsqueue.Config{
		{URL: urls.Events, DeadURL: urls.EventsDead, Now: time.Now},
		{URL: urls.Retries, DeadURL: urls.RetriesDead, Now: time.Now},
	}}, retention)
}
