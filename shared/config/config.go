// Package config reads the settings of all programs from the environment, once,
// in main. Every variable has a default that works; Variables lists them.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// Config is what the environment says. Every value in it is valid.
type Config struct {
	RetrySchedule   relay.Schedule
	DeliveryTimeout time.Duration // a whole attempt
	ConnectTimeout  time.Duration // at most DeliveryTimeout
	HeaderPrefix    string        // canonical, like Rivya
	PublicURL       string        // without a slash at its end; empty: the gateway's own host
	SiviBaseURL     string        // without a slash at its end
	Retention       time.Duration // whole days
	SubjectLookup   bool          // whether events are found by their subject without a walk
	LogLevel        slog.Level

	// AllowPrivateDestinations is true in dev alone.
	AllowPrivateDestinations bool

	EndpointLimit int // live endpoints of an account
	// AccountLimit is how much a node keeps of an account's events before it
	// publishes no more; provider calls are taken up to twice that.
	AccountLimit relay.Usage
	FailingAfter time.Duration // nothing but failures for so long disables an endpoint
	ExpectFirst  time.Duration // how long a Sivi request may take before it is asked for
	ExpectGiveUp time.Duration // after so long it is asked for no more; at least ExpectFirst
	Shards       int           // a power of two

	// Effective lists every setting as NAME=value, as it is in force. None of them
	// is a secret.
	Effective []string

	// What a deployment names; empty on one machine. See Require.
	TableName            string
	EventsQueueURL       string
	RetriesQueueURL      string
	EventsDLQURL         string
	RetriesDLQURL        string
	SealingKeyringSecret string // the ARN of a secret of Secrets Manager
}

// Load reads the settings of every program but dev: the Lambdas, serve, keys.
// They refuse to start while ALLOW_PRIVATE_DESTINATIONS is true. Lookup is
// os.LookupEnv or stands for it; a variable that is set to nothing counts as not
// set. The error names every variable that is wrong and says what it may be.
func Load(lookup func(string) (string, bool)) (Config, error) {
	return load(lookup, false)
}

// LoadDev reads the settings of dev, where ALLOW_PRIVATE_DESTINATIONS is true by
// default and may be set to false.
func LoadDev(lookup func(string) (string, bool)) (Config, error) {
	return load(lookup, true)
}

func load(lookup func(string) (string, bool), dev bool) (Config, error) {
	var c Config
	var problems []error
	for _, v := range variables {
		text, ok := lookup(v.Name)
		text = strings.TrimSpace(text)
		if !ok || text == "" {
			text = v.Default
			if dev && v.DevDefault != "" {
				text = v.DevDefault
			}
		}
		c.Effective = append(c.Effective, v.Name+"="+text)
		if text == "" {
			continue
		}
		if err := v.set(&c, text); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", v.Name, err))
		}
	}
	if len(problems) == 0 {
		problems = c.check(dev)
	}
	if len(problems) > 0 {
		return Config{}, errors.Join(problems...)
	}
	// So that a short DELIVERY_TIMEOUT alone is enough.
	c.ConnectTimeout = min(c.ConnectTimeout, c.DeliveryTimeout)
	return c, nil
}

// check judges what depends on more than one variable.
func (c Config) check(dev bool) []error {
	var problems []error
	if c.AllowPrivateDestinations && !dev {
		problems = append(problems, errors.New("ALLOW_PRIVATE_DESTINATIONS: only dev may call private destinations: unset it or set it to false"))
	}
	if c.ExpectFirst > c.ExpectGiveUp {
		problems = append(problems, fmt.Errorf("EXPECT_FIRST: %s is longer than EXPECT_GIVE_UP (%s): make it at most as long",
			c.ExpectFirst, c.ExpectGiveUp))
	}
	if err := checkSiviURL(c.SiviBaseURL, c.AllowPrivateDestinations); err != nil {
		problems = append(problems, fmt.Errorf("SIVI_BASE_URL: %w", err))
	}
	return problems
}

// Require returns an error that names those of the variables that have no value,
// for a program that cannot do without: PUBLIC_URL, TABLE_NAME and the like.
func (c Config) Require(names ...string) error {
	values := map[string]string{
		"PUBLIC_URL": c.PublicURL, "TABLE_NAME": c.TableName,
		"EVENTS_QUEUE_URL": c.EventsQueueURL, "RETRIES_QUEUE_URL": c.RetriesQueueURL,
		"EVENTS_DLQ_URL": c.EventsDLQURL, "RETRIES_DLQ_URL": c.RetriesDLQURL,
		"SEALING_KEYRING_SECRET": c.SealingKeyringSecret,
	}
	var problems []error
	for _, name := range names {
		value, known := values[name]
		if !known {
			panic("config: " + name + " always has a value or does not exist")
		}
		if value == "" {
			problems = append(problems, fmt.Errorf("%s: is not set, and this program needs it: %s", name, meaning(name)))
		}
	}
	return errors.Join(problems...)
}
