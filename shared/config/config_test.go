package config

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookferry/shared/relay"
)

// env is an environment; it fails the test when a variable is read twice or is
// not in the table.
func env(t *testing.T, set map[string]string) func(string) (string, bool) {
	t.Helper()
	read := map[string]bool{}
	return func(name string) (string, bool) {
		if read[name] {
			t.Errorf("%s is read twice", name)
		}
		read[name] = true
		text, ok := set[name]
		return text, ok
	}
}

func defaults() Config {
	return Config{
		RetrySchedule: relay.DefaultSchedule(), DeliveryTimeout: 10 * time.Second, ConnectTimeout: 3 * time.Second,
		HeaderPrefix: "Rivya", SiviBaseURL: "https://connect.sivi.ai/api/prod/v2", Retention: 30 * 24 * time.Hour, SubjectLookup: true,
		LogLevel: slog.LevelInfo, EndpointLimit: 100, FailingAfter: 5 * 24 * time.Hour, ExpectFirst: 10 * time.Minute,
		ExpectGiveUp: 24 * time.Hour, Shards: 8, AccountLimit: relay.Usage{Events: 10_000_000, Bytes: 50 << 30},
	}
}

func TestAnEmptyEnvironmentWorks(t *testing.T) {
	for _, set := range []map[string]string{nil, {"PUBLIC_URL": "", "RETRY_SCHEDULE": " ", "ALLOW_PRIVATE_DESTINATIONS": "", "OTHER": "x"}} {
		got, err := Load(env(t, set))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(defaults(), got, values); diff != "" {
			t.Error(diff)
		}
		got, err = LoadDev(env(t, set))
		if err != nil {
			t.Fatal(err)
		}
		want := defaults()
		want.AllowPrivateDestinations = true
		if diff := cmp.Diff(want, got, values); diff != "" {
			t.Error("dev:", diff)
		}
	}
}

func TestEveryVariableIsTaken(t *testing.T) {
	set := map[string]string{
		"RETRY_SCHEDULE": "0s,1s, 2s", "DELIVERY_TIMEOUT": "5s", "CONNECT_TIMEOUT": "500ms", "HEADER_PREFIX": "my-brand2",
		"PUBLIC_URL": "https://hooks.example.com/base//", "SIVI_BASE_URL": " https://sivi.example.com:8443/api/ ", "RETENTION_DAYS": "7", "SUBJECT_LOOKUP": "false",
		"LOG_LEVEL": "WARN", "ALLOW_PRIVATE_DESTINATIONS": "false", "ENDPOINT_LIMIT": "5", "FAILING_AFTER": "1h", "ACCOUNT_EVENTS": "7", "ACCOUNT_MIB": "2",
		"EXPECT_FIRST": "2m", "EXPECT_GIVE_UP": "3h", "SHARDS": "16", "TABLE_NAME": "hookferry",
		"EVENTS_QUEUE_URL":  "https://sqs.us-east-1.amazonaws.com/123456789012/events",
		"RETRIES_QUEUE_URL": "http://127.0.0.1:4566/000000000000/retries", "EVENTS_DLQ_URL": "https://sqs.us-east-1.amazonaws.com/1/ed",
		"RETRIES_DLQ_URL":        "https://sqs.us-east-1.amazonaws.com/1/rd",
		"SEALING_KEYRING_SECRET": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hookferry-AbCdEf",
	}
	for _, v := range Variables() {
		if _, ok := set[v.Name]; !ok {
			t.Errorf("%s is not tried here", v.Name)
		}
	}
	if len(set) != len(Variables()) {
		t.Errorf("%d variables are tried, and there are %d", len(set), len(Variables()))
	}
	got, err := Load(env(t, set))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		RetrySchedule: relay.Schedule{0, time.Second, 2 * time.Second}, DeliveryTimeout: 5 * time.Second, ConnectTimeout: 500 * time.Millisecond,
		HeaderPrefix: "My-Brand2", PublicURL: "https://hooks.example.com/base", SiviBaseURL: "https://sivi.example.com:8443/api",
		Retention: 7 * 24 * time.Hour, LogLevel: slog.LevelWarn, EndpointLimit: 5, AccountLimit: relay.Usage{Events: 7, Bytes: 2 << 20}, FailingAfter: time.Hour, ExpectFirst: 2 * time.Minute,
		ExpectGiveUp: 3 * time.Hour, Shards: 16, TableName: set["TABLE_NAME"], EventsQueueURL: set["EVENTS_QUEUE_URL"],
		RetriesQueueURL: set["RETRIES_QUEUE_URL"], EventsDLQURL: set["EVENTS_DLQ_URL"], RetriesDLQURL: set["RETRIES_DLQ_URL"],
		SealingKeyringSecret: set["SEALING_KEYRING_SECRET"],
	}
	if diff := cmp.Diff(want, got, values); diff != "" {
		t.Error(diff)
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for name, values := range map[string][]string{
		"RETRY_SCHEDULE":             {"soon", "1m,", "-1s", "25h", "0s;1m", strings.Repeat("1s,", 20) + "1s", "1ns"},
		"DELIVERY_TIMEOUT":           {"10", "0s", "-1s", "31s", "1h", "9ms"},
		"CONNECT_TIMEOUT":            {"3", "0s", "31s", "1h"},
		"HEADER_PREFIX":              {"-", "a-", "-a", "1a", "a b", "a_b", "ä", "a:b", strings.Repeat("a", 31), "X", "x", "x-amz", "X-Amzn-Foo", "Sec", "sec-x", "PROXY", "x-forwarded", "cf"},
		"PUBLIC_URL":                 {"hooks.example.com", "ftp://example.com", "https://", "https:///x", "https://u:p@example.com", "https://example.com/#a", "https://example.com/#", "https://example.com/?a=b", "https://example.com/?", "https:example.com", "//example.com", "https://exa mple.com"},
		"SIVI_BASE_URL":              {"connect.sivi.ai", "http://connect.sivi.ai/api", "https://127.0.0.1/", "https://sivi.internal/", "https://connect.sivi.ai:80/", "https://u@connect.sivi.ai", "https://169.254.169.254"},
		"SUBJECT_LOOKUP":             {"yes", "2"},
		"RETENTION_DAYS":             {"0", "-1", "3651", "30d", "1.5"},
		"LOG_LEVEL":                  {"verbose", "0", "information"},
		"ALLOW_PRIVATE_DESTINATIONS": {"true", "1", "TRUE", "yes", "on", "maybe"},
		"ENDPOINT_LIMIT":             {"0", "1001", "many"},
		"ACCOUNT_EVENTS":             {"0", "-1", "1e6", "1000000001"},
		"ACCOUNT_MIB":                {"0", "1GB", "1000000001"},
		"FAILING_AFTER":              {"0s", "5d", "-1h", "8761h"},
		"EXPECT_FIRST":               {"0s", "25h", "ten minutes"},
		"EXPECT_GIVE_UP":             {"0s", "313h", "1m"}, // 1m: before EXPECT_FIRST
		"SHARDS":                     {"0", "3", "6", "512", "-8", "eight"},
		"TABLE_NAME":                 {"a b", "tab\tle"},
		"EVENTS_QUEUE_URL":           {"events", "https://u:p@sqs.example.com/x"},
		"RETRIES_QUEUE_URL":          {"retries"},
		"EVENTS_DLQ_URL":             {"arn:aws:sqs:us-east-1:1:x"},
		"RETRIES_DLQ_URL":            {"x"},
		"SEALING_KEYRING_SECRET":     {"two words"},
	} {
		for _, value := range values {
			c, err := Load(env(t, map[string]string{name: value}))
			if err == nil {
				t.Errorf("%s=%q passed", name, value)
				continue
			}
			// EXPECT_GIVE_UP before EXPECT_FIRST may be told of either.
			if !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: the error does not name it alone: %v", name, value, err)
			}
			if diff := cmp.Diff(Config{}, c); diff != "" {
				t.Errorf("%s=%q: something was returned besides the error", name, value)
			}
		}
	}
	for _, v := range Variables() {
		if _, err := Load(env(t, map[string]string{v.Name: "\x01 not a value"})); err == nil {
			t.Errorf("%s takes anything", v.Name)
		}
	}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	_, err := Load(env(t, map[string]string{"SHARDS": "3", "LOG_LEVEL": "loud", "PUBLIC_URL": "x"}))
	if err == nil {
		t.Fatal("no error")
	}
	want := "PUBLIC_URL: is not an absolute URL like https://hooks.example.com\n" +
		`LOG_LEVEL: "loud" is not debug, info, warn or error` + "\n" +
		`SHARDS: "3" is not a power of two from 1 to 256`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestConnectingTakesNoLongerThanTheWholeAttempt(t *testing.T) {
	for _, set := range []map[string]string{{"DELIVERY_TIMEOUT": "1s"}, {"DELIVERY_TIMEOUT": "1s", "CONNECT_TIMEOUT": "3s"}} {
		c, err := Load(env(t, set))
		if err != nil || c.ConnectTimeout != time.Second || c.DeliveryTimeout != time.Second {
			t.Errorf("%v: got %s of %s, %v", set, c.ConnectTimeout, c.DeliveryTimeout, err)
		}
	}
}

func TestPrivateDestinationsAreForDevAlone(t *testing.T) {
	for _, c := range []struct {
		value   string
		dev, ok bool
		want    bool
	}{
		{"", true, true, true},
		{"true", true, true, true},
		{"false", true, true, false},
		{"0", true, true, false},
		{"nein", true, false, false},
		{"", false, true, false},
		{"false", false, true, false},
		{"true", false, false, false},
		{"1", false, false, false},
	} {
		load := Load
		if c.dev {
			load = LoadDev
		}
		got, err := load(env(t, map[string]string{"ALLOW_PRIVATE_DESTINATIONS": c.value}))
		if (err == nil) != c.ok || got.AllowPrivateDestinations != c.want {
			t.Errorf("%+v: got %v, %v", c, got.AllowPrivateDestinations, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "ALLOW_PRIVATE_DESTINATIONS: ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	// A stand-in for Sivi on one's own machine is for dev as well.
	local := map[string]string{"SIVI_BASE_URL": "http://127.0.0.1:9090/api"}
	if c, err := LoadDev(env(t, local)); err != nil || c.SiviBaseURL != local["SIVI_BASE_URL"] {
		t.Errorf("dev: got %q, %v", c.SiviBaseURL, err)
	}
	if _, err := Load(env(t, local)); err == nil {
		t.Error("a private SIVI_BASE_URL passed outside dev")
	}
}

func TestRequireNamesWhatIsMissing(t *testing.T) {
	c, err := Load(env(t, map[string]string{"TABLE_NAME": "t", "PUBLIC_URL": "https://hooks.example.com"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Require("TABLE_NAME", "PUBLIC_URL"); err != nil {
		t.Error(err)
	}
	err = c.Require("TABLE_NAME", "EVENTS_QUEUE_URL", "RETRIES_QUEUE_URL", "EVENTS_DLQ_URL", "RETRIES_DLQ_URL", "SEALING_KEYRING_SECRET")
	for _, name := range []string{"EVENTS_QUEUE_URL", "RETRIES_QUEUE_URL", "EVENTS_DLQ_URL", "RETRIES_DLQ_URL", "SEALING_KEYRING_SECRET"} {
		if err == nil || !strings.Contains(err.Error(), name+": is not set") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "TABLE_NAME") {
		t.Error(err)
	}
	// Every variable without a default can be required, and no other.
	for _, v := range Variables() {
		func() {
			defer func() {
				if panicked := recover() != nil; panicked != (v.Default != "") {
					t.Errorf("Require(%s): panicked %v", v.Name, panicked)
				}
			}()
			c.Require(v.Name)
		}()
	}
}

func TestTheHelpNamesEveryVariableAndDefault(t *testing.T) {
	var b strings.Builder
	if err := WriteHelp(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != len(Variables()) {
		t.Fatalf("%d lines, want %d", len(lines), len(Variables()))
	}
	for i, v := range Variables() {
		if f := strings.Fields(lines[i]); f[0] != v.Name || v.Default != "" && f[1] != v.Default || !strings.HasSuffix(lines[i], v.Meaning) {
			t.Errorf("%s: %q", v.Name, lines[i])
		}
	}
}

func TestTheDefaultsArePrintedAsTheyAreRead(t *testing.T) {
	set := map[string]string{}
	for _, v := range Variables() {
		set[v.Name] = v.Default
	}
	got, err := Load(env(t, set))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), got, values); diff != "" {
		t.Error(diff)
	}
}

// values compares what settings mean, and not how they are listed.
var values = cmpopts.IgnoreFields(Config{}, "Effective")

func TestTheSettingsInForceAreListed(t *testing.T) {
	c, err := Load(func(name string) (string, bool) { return map[string]string{"SHARDS": " 16 "}[name], name == "SHARDS" })
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SHARDS=16", "DELIVERY_TIMEOUT=10s", "PUBLIC_URL="} {
		if !slices.Contains(c.Effective, want) {
			t.Errorf("%s is not among %v", want, c.Effective)
		}
	}
	if len(c.Effective) != len(Variables()) {
		t.Errorf("%d settings are listed, there are %d", len(c.Effective), len(Variables()))
	}
}

func TestAMisspeltSettingIsNamedWithTheOneThatWasMeant(t *testing.T) {
	got := Unknown([]string{
		"RETRY_SCHEDULES=0s", "DELIVERY_TIMOUT=1s", "delivery_timeout=1s", "PUBLICURL=https://x", "SHARDS=8", "ENDPOINT-LIMIT=1",
		"PATH=/bin", "HOME=/root", "LOG=x", "DATA=1", "", "=", "EXPECT_LAST=1h",
	})
	want := []string{
		"DELIVERY_TIMOUT is not a setting; is DELIVERY_TIMEOUT meant?",
		"ENDPOINT-LIMIT is not a setting; is ENDPOINT_LIMIT meant?",
		"PUBLICURL is not a setting; is PUBLIC_URL meant?",
		"RETRY_SCHEDULES is not a setting; is RETRY_SCHEDULE meant?",
		"delivery_timeout is not a setting; is DELIVERY_TIMEOUT meant?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
