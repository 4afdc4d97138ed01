// Package awsruntime is what the Lambdas share: the settings, the AWS
// clients, the store, the queues, the sealing keyring and the log, made once
// during init, when Lambda gives a function a whole core.
//
// The AWS configuration is built by hand, because the SDK's own loader looks for
// credentials and regions where a Lambda has none and costs a quarter of the init
// and 2 MB. So only what Lambda sets is read: region and
// credentials from the environment; and AWS_ENDPOINT_URL_DYNAMODB, …_SQS and
// …_SECRETS_MANAGER for servers that stand in.
package awsruntime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"hookferry/shared/bounds"
	"hookferry/shared/cache"
	"hookferry/shared/config"
	"hookferry/shared/dynamo"
	"hookferry/shared/seal"
	"hookferry/shared/sqsqueue"
	"hookferry/shared/telemetry"
)

// A Runtime is what a function works with.
type Runtime struct {
	Config          config.Config
	Store           *cache.Store
	Events, Retries *sqsqueue.Queue
	Keys            *seal.Lazy
	Logger          *slog.Logger
	Audit           *slog.Logger // takes INFO whatever the level of the others
	Log             *telemetry.Log
}

// Start returns the runtime that the environment describes, which lookup,
// os.LookupEnv in a Lambda, reads. Needs names the variables that the function
// cannot do without besides TABLE_NAME. If SEALING_KEYRING_SECRET is set, it reads the
// keyring, which also makes the first TLS connection, whose certificate pool
// costs most of an init. A keyring that cannot be read keeps no function from
// starting: what needs none goes on, and the first call that needs it reads it.
func Start(ctx context.Context, lookup func(string) (string, bool), needs ...string) (*Runtime, error) {
	cfg, err := config.Load(lookup)
	if err != nil {
		return nil, err
	}
	if err := cfg.Require(append([]string{"TABLE_NAME"}, needs...)...); err != nil {
		return nil, err
	}
	base, err := awsConfig(lookup)
	if err != nil {
		return nil, err
	}
	endpoint := func(service string) *string {
		if url, ok := lookup("AWS_ENDPOINT_URL_" + service); ok && url != "" {
			return aws.String(url)
		}
		return nil
	}
	rt := &Runtime{Config: cfg}
	logger := func(level slog.Level) *slog.Logger {
		return slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: level}))
	}
	rt.Logger, rt.Audit = logger(cfg.LogLevel), logger(min(cfg.LogLevel, slog.LevelInfo))
	rt.Log = telemetry.New(rt.Logger, time.Now)
	if m, ok := telemetry.InLambda(lookup); ok {
		rt.Log = rt.Log.WithMetrics(m)
	}
	rt.Store = cache.Wrap(dynamo.New(
		dynamodb.NewFromConfig(base, func(o *dynamodb.Options) { o.BaseEndpoint = endpoint("DYNAMODB") }),
		dynamo.Config{Table: cfg.TableName, Shards: cfg.Shards, Retention: cfg.Retention, NoSubjectLookup: !cfg.SubjectLookup, Now: time.Now},
	), cache.TTL, time.Now)
	queues := sqs.NewFromConfig(base, func(o *sqs.Options) { o.BaseEndpoint = endpoint("SQS") })
	rt.Events = sqsqueue.New(queues, sqsqueue.Config{URL: cfg.EventsQueueURL, DeadURL: cfg.EventsDLQURL, Now: time.Now})
	rt.Retries = sqsqueue.New(queues, sqsqueue.Config{URL: cfg.RetriesQueueURL, DeadURL: cfg.RetriesDLQURL, Now: time.Now})

	secrets := secretsmanager.NewFromConfig(base, func(o *secretsmanager.Options) { o.BaseEndpoint = endpoint("SECRETS_MANAGER") })
	rt.Keys = seal.NewLazy(func() (*seal.Keyring, error) {
		return keyring(context.WithoutCancel(ctx), secrets, cfg.SealingKeyringSecret)
	}, time.Now)
	if cfg.SealingKeyringSecret != "" {
		if _, err := rt.Keys.Ring(); err != nil {
			rt.Log.Failure(ctx, "keyring", err)
		}
	}
	return rt, nil
}

// Fail writes why a function cannot start, and ends the process: Lambda counts
// an init error and tries again.
func Fail(err error) {
	slog.New(slog.NewJSONHandler(os.Stdout, nil)).Error("start", "error", err.Error())
	os.Exit(1)
}

// keyring reads the sealing keyring. Its error never carries what it read.
func keyring(ctx context.Context, client *secretsmanager.Client, arn string) (*seal.Keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, bounds.Keyring)
	defer cancel()
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return nil, fmt.Errorf("read the sealing keyring: %w", err)
	}
	if out.SecretString == nil {
		return nil, errors.New("read the sealing keyring: the secret holds no text")
	}
	return seal.Parse([]byte(*out.SecretString))
}

// awsConfig returns what Lambda tells a function about itself. The credentials
// do not change while the execution environment lives.
func awsConfig(lookup func(string) (string, bool)) (aws.Config, error) {
	values := map[string]string{}
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		values[name], _ = lookup(name)
		if values[name] == "" && name != "AWS_SESSION_TOKEN" {
			return aws.Config{}, fmt.Errorf("%s: is not set; Lambda sets it", name)
		}
	}
	return aws.Config{
		Region: values["AWS_REGION"],
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(
			values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], values["AWS_SESSION_TOKEN"])),
		HTTPClient: newClient(time.Now),
		// The SDK's own wait before it asks again is up to a second and then twice
		// that: longer than some of the steps here may take in all.
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = bounds.Backoff })
		},
	}, nil
}
