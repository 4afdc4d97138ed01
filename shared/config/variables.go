package config

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"

	"hookferry/shared/relay"
)

// A Variable is one environment variable.
type Variable struct {
	Name       string
	Default    string // empty: none
	DevDefault string // the default in dev, where it differs
	Meaning    string // what it is, and what it may be

	set func(c *Config, text string) error
}

const day = 24 * time.Hour

// variables is the table that Load works through. The deployed ones come last.
var variables = []Variable{
	{
		Name: "RETRY_SCHEDULE", Default: "0s,1m,5m,30m,2h",
		Meaning: "wait before each attempt, counted from the one before; 1 to 20 durations of 0s to 24h",
		set:     parsed(func(c *Config) *relay.Schedule { return &c.RetrySchedule }, relay.ParseSchedule),
	},
	{
		Name: "DELIVERY_TIMEOUT", Default: "10s", Meaning: "longest time of a whole attempt, 10ms to 30s",
		set: duration(func(c *Config) *time.Duration { return &c.DeliveryTimeout }, 10*time.Millisecond, 30*time.Second),
	},
	{
		Name: "CONNECT_TIMEOUT", Default: "3s", Meaning: "longest time to connect, 10ms to 30s; never more than DELIVERY_TIMEOUT",
		set: duration(func(c *Config) *time.Duration { return &c.ConnectTimeout }, 10*time.Millisecond, 30*time.Second),
	},
	{
		Name: "HEADER_PREFIX", Default: "Rivya", Meaning: "prefix of the headers that deliveries carry: 1 to 30 letters, digits and hyphens",
		set: parsed(func(c *Config) *string { return &c.HeaderPrefix }, parsePrefix),
	},
	{
		Name: "PUBLIC_URL", Meaning: "where providers reach the receiver, like https://hooks.example.com; serve needs it, elsewhere the host that was called if it is not set",
		set: parsed(func(c *Config) *string { return &c.PublicURL }, parseBaseURL),
	},
	{
		Name: "SIVI_BASE_URL", Default: "https://connect.sivi.ai/api/prod/v2", Meaning: "Sivi's API, asked about requests",
		set: parsed(func(c *Config) *string { return &c.SiviBaseURL }, parseBaseURL),
	},
	{
		Name: "RETENTION_DAYS", Default: "30", Meaning: "days that events and attempts are kept, 1 to 3650",
		set: func(c *Config, text string) error {
			n, err := integer(text, 1, 3650)
			c.Retention = time.Duration(n) * day
			return err
		},
	},
	{
		Name: "SUBJECT_LOOKUP", Default: "true",
		Meaning: "false: on DynamoDB, an event's subject costs no write unit of its own, and looking one up walks the list of events",
		set:     parsed(func(c *Config) *bool { return &c.SubjectLookup }, parseBool),
	},
	{
		Name: "LOG_LEVEL", Default: "info", Meaning: "debug, info, warn or error",
		set: parsed(func(c *Config) *slog.Level { return &c.LogLevel }, parseLevel),
	},
	{
		Name: "ALLOW_PRIVATE_DESTINATIONS", Default: "false", DevDefault: "true",
		Meaning: "true: deliver to private addresses, by http and on every port; everything but dev refuses to start with it",
		set:     parsed(func(c *Config) *bool { return &c.AllowPrivateDestinations }, parseBool),
	},
	{
		Name: "ENDPOINT_LIMIT", Default: "100", Meaning: "live endpoints that an account may have, 1 to 1000",
		set: number(func(c *Config) *int { return &c.EndpointLimit }, 1, 1000),
	},
	{
		Name: "ACCOUNT_EVENTS", Default: "10000000",
		Meaning: "events that one node keeps of an account before it publishes no more, 1 to 10^9; providers' calls are taken up to twice that",
		set: func(c *Config, text string) error {
			n, err := integer(text, 1, 1_000_000_000)
			c.AccountLimit.Events = int64(n)
			return err
		},
	},
	{
		Name: "ACCOUNT_MIB", Default: "51200",
		Meaning: "MiB of events' bodies that one node keeps of an account before it publishes no more, 1 to 10^9; as above",
		set: func(c *Config, text string) error {
			n, err := integer(text, 1, 1_000_000_000)
			c.AccountLimit.Bytes = int64(n) << 20
			return err
		},
	},
	{
		Name: "FAILING_AFTER", Default: "120h", Meaning: "an endpoint whose every attempt has failed for so long is disabled, 1s to 8760h",
		set: duration(func(c *Config) *time.Duration { return &c.FailingAfter }, time.Second, 365*day),
	},
	{
		Name: "EXPECT_FIRST", Default: "10m", Meaning: "how long an expected Sivi request may take before Sivi is asked, 1s to 24h",
		set: duration(func(c *Config) *time.Duration { return &c.ExpectFirst }, time.Second, day),
	},
	{
		Name: "EXPECT_GIVE_UP", Default: "24h", Meaning: "how long Sivi is asked about an expected request, EXPECT_FIRST to 312h",
		set: duration(func(c *Config) *time.Duration { return &c.ExpectGiveUp }, time.Second, 13*day),
	},
	{
		Name: "SHARDS", Default: "8", Meaning: "partitions of each list in the table, a power of two up to 256; may only grow",
		set: parsed(func(c *Config) *int { return &c.Shards }, parseShards),
	},

	{
		Name: "TABLE_NAME", Meaning: "the DynamoDB table",
		set: parsed(func(c *Config) *string { return &c.TableName }, parseText),
	},
	{
		Name: "EVENTS_QUEUE_URL", Meaning: "the SQS queue of events",
		set: parsed(func(c *Config) *string { return &c.EventsQueueURL }, parseQueueURL),
	},
	{
		Name: "RETRIES_QUEUE_URL", Meaning: "the SQS queue of retries",
		set: parsed(func(c *Config) *string { return &c.RetriesQueueURL }, parseQueueURL),
	},
	{
		Name: "EVENTS_DLQ_URL", Meaning: "the dead-letter queue of events",
		set: parsed(func(c *Config) *string { return &c.EventsDLQURL }, parseQueueURL),
	},
	{
		Name: "RETRIES_DLQ_URL", Meaning: "the dead-letter queue of retries",
		set: parsed(func(c *Config) *string { return &c.RetriesDLQURL }, parseQueueURL),
	},
	{
		Name: "SEALING_KEYRING_SECRET", Meaning: "the ARN of the secret in Secrets Manager that holds the sealing keyring",
		set: parsed(func(c *Config) *string { return &c.SealingKeyringSecret }, parseText),
	},
}

// Variables lists every variable that is read, in the order in which they are
// documented.
func Variables() []Variable { return slices.Clone(variables) }

// WriteHelp writes the variables as a table for people.
func WriteHelp(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range variables {
		def := v.Default
		if v.DevDefault != "" {
			def += " (dev: " + v.DevDefault + ")"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", v.Name, def, v.Meaning)
	}
	return tw.Flush()
}

func meaning(name string) string {
	i := slices.IndexFunc(variables, func(v Variable) bool { return v.Name == name })
	return variables[i].Meaning
}
