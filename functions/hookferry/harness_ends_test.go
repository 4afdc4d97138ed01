package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"hookferry/shared/awstest"
	"hookferry/shared/sqsqueue"
)

// A delivery is one call that a destination got.
type delivery struct {
	at     time.Time
	header http.Header
	body   []byte
}

// A destination receives deliveries and answers as told.
type destination struct {
	*httptest.Server
	mu     sync.Mutex
	got    []delivery
	answer func(n int, d delivery) int // nil: 200
}

func newDestination(t testing.TB, answer func(n int, d delivery) int) *destination {
	dest := &destination{answer: answer}
	dest.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		dest.mu.Lock()
		d := delivery{time.Now(), r.Header, body}
		dest.got = append(dest.got, d)
		n := len(dest.got)
		dest.mu.Unlock()
		if dest.answer != nil {
			w.WriteHeader(dest.answer(n, d))
		}
		fmt.Fprint(w, "thanks")
	}))
	t.Cleanup(dest.Close)
	return dest
}

func (d *destination) deliveries() []delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]delivery(nil), d.got...)
}

// wait returns the deliveries once there are n of them.
func (d *destination) wait(t testing.TB, n int, within time.Duration) []delivery {
	t.Helper()
	eventually(t, within, func() string {
		if got := len(d.deliveries()); got < n {
			return fmt.Sprintf("%d deliveries, want %d", got, n)
		}
		return ""
	})
	return d.deliveries()
}

// eventually calls what until it returns "", or fails with what it returned.
func eventually(t testing.TB, within time.Duration, what func() string) {
	t.Helper()
	for deadline := time.Now().Add(within); ; {
		said := what()
		if said == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", within, said)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// dataDir returns a folder for -data that the test may start several relays on.
func dataDir(t testing.TB) string { return filepath.Join(t.TempDir(), "data") }

// A testBackend is what the same tests run on.
type testBackend struct {
	aws    bool
	env    []string
	args   []string
	settle time.Duration // until messages of a killed process come again
	rounds int           // of the kill test
	twice  float64       // share of events that kills may have delivered twice
}

// A start is how a relay is started: environment and arguments besides the
// address.
type start struct {
	env  []string
	args []string
}

// where are the flags that make an operator's command work where a relay does
// that was started with -data dir.
func (b testBackend) where(dir string, args ...string) []string {
	if b.aws {
		return args // env names the table and the queues
	}
	return append(args, "-data", dir)
}

func (b testBackend) with(env ...string) testBackend {
	b.env = append(append([]string(nil), b.env...), env...)
	return b
}

// onEachBackend runs a test on SQLite, and on the AWS adapters with servers on
// this machine that stand in for DynamoDB and SQS.
func onEachBackend(t *testing.T, test func(t *testing.T, b testBackend)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, testBackend{settle: time.Minute, rounds: 3, twice: 0.01})
	})
	t.Run("aws", func(t *testing.T) {
		sqsURL := awstest.StartSQS(t)
		queues, err := sqsqueue.CreateQueues(t.Context(), awstest.SQS(sqsURL), "hookferry-dev")
		if err != nil {
			t.Fatal(err)
		}
		test(t, testBackend{
			aws: true,
			env: append(awstest.Environment(awstest.StartDynamoDB(t), sqsURL), "TABLE_NAME=hookferry-dev",
				"EVENTS_QUEUE_URL="+queues.Events, "EVENTS_DLQ_URL="+queues.EventsDead,
				"RETRIES_QUEUE_URL="+queues.Retries, "RETRIES_DLQ_URL="+queues.RetriesDead),
			args:   []string{"-backend", "aws"},
			settle: 2 * time.Minute, rounds: 1, twice: 0.02,
		})
	})
}
