package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"hookferry/shared/client"
	"hookferry/shared/relay"
)

func TestATrialShowsEachStepAndExitsZero(t *testing.T) {
	t.Parallel()
	said := output(t, []string{"RETRY_SCHEDULE=nonsense", "HOOKFERRY_API_KEY=wrong"}, "try") // settings are ignored
	rest := said
	for _, want := range []string{
		"signature is right", "delivered", "attempt 1", "verified", "duplicate", "refused    401", "token is right",
		"answers 500", "attempt 2", "verified", "1 attempt\n", "2 attempts\n", "All as it should be.",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %q at its place in\n%s", want, said)
		}
		rest = after
	}
	for line := range strings.Lines(said) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && !strings.Contains(line, "-data") {
			t.Errorf("%d columns do not fit a terminal of 80: %s", n, line)
		}
	}
	if strings.ContainsAny(said, "\x1b") {
		t.Error("colours where no terminal is")
	}
}

// What goes wrong is found, and said.
func TestATrialFailsWithWhatWentWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		spoil      func(tr *trial)
		step       func(tr *trial, ctx context.Context) error
	}{
		{"a receiver with another secret", "signature is wrong", func(tr *trial) { tr.inbox.secret = relay.NewSigningSecret() }, (*trial).signedCall},
		{"a source that shares another secret", "401", func(tr *trial) { tr.rivya.secret = relay.NewSigningSecret() }, (*trial).signedCall},
		{"a receiver that answers 500", "answered 500", func(tr *trial) { tr.inbox.failNext() }, (*trial).signedCall},
		{"a key that does not work", "api_key_invalid", func(tr *trial) { tr.client, _ = client.New(tr.client.Base(), relay.NewAPIKey()) }, (*trial).record},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			tr := newTrial(&out, style{})
			defer tr.stop()
			if err := tr.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.spoil(tr)
			if err := c.step(tr, t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q\n%s", err, c.want, &out)
			}
		})
	}
}

func TestATrialThatCannotStartExitsOne(t *testing.T) {
	t.Parallel()
	said := refused(t, []string{"TMPDIR=" + filepath.Join(t.TempDir(), "none")}, "try")
	if !strings.Contains(said, "temporary data folder") {
		t.Errorf("says %s", said)
	}
}

func TestATrialEndsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	tr := newTrial(new(bytes.Buffer), style{})
	defer tr.stop()
	ctx, cancel := context.WithCancel(t.Context())
	if err := tr.start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := tr.inbox.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
