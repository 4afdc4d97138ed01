package awsruntime

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hookferry/shared/seal"

	"hookferry/shared/bounds"
)

// secrets serves GetSecretValue with the given answer.
func secrets(t *testing.T, status int, answer string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		w.Write([]byte(answer))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func environment(secretsURL string) map[string]string {
	return map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": secretsURL, "AWS_LAMBDA_FUNCTION_NAME": "hookferry-prod-api",
		"TABLE_NAME": "relay", "SEALING_KEYRING_SECRET": "arn:aws:secretsmanager:us-east-1:1:secret:keyring",
		"EVENTS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/events",
	}
}

func TestTheKeyringIsTheSecrets(t *testing.T) {
	keys := seal.Generate()
	answer, err := json.Marshal(map[string]string{"SecretString": string(keys.Marshal())})
	if err != nil {
		t.Fatal(err)
	}
	rt, err := Start(context.Background(), lookup(environment(secrets(t, 200, string(answer)))), "EVENTS_QUEUE_URL")
	if err != nil {
		t.Fatal(err)
	}
	place := seal.Place{Account: "acct_1", Object: "src_1", Field: "token"}
	if got, err := rt.Keys.Open(keys.Seal("a secret", place), place); err != nil || got.Reveal() != "a secret" {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
}

// TestAFunctionStartsWithoutTheKeyringAndSaysWhatIsWrongWhenItIsNeeded: a source
// that needs none is served, and once the secret is there it is used.
func TestAFunctionStartsWithoutTheKeyringAndSaysWhatIsWrongWhenItIsNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		status       int
		answer, says string
	}{
		"no such secret":   {400, `{"__type":"ResourceNotFoundException","message":"no"}`, "ResourceNotFound"},
		"a binary secret":  {200, `{"SecretBinary":"aGVsbG8="}`, "holds no text"},
		"not a keyring":    {200, `{"SecretString":"hunter2"}`, "sealing keyring"},
		"an empty keyring": {200, `{"SecretString":"{}"}`, "empty"},
	} {
		rt, err := Start(context.Background(), lookup(environment(secrets(t, c.status, c.answer))), "EVENTS_QUEUE_URL")
		if err != nil {
			t.Errorf("%s: it does not start: %v", name, err)
			continue
		}
		_, err = rt.Keys.Open("1.x", seal.Place{})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") || errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: got %v, want an error about %s", name, err, c.says)
		}
	}
}

func TestNothingStartsHalf(t *testing.T) {
	for name, c := range map[string]struct {
		status       int
		answer       string
		unset, needs string
		says         string
	}{
		"no credentials":     {200, `{}`, "AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY"},
		"no region":          {200, `{}`, "AWS_REGION", "", "AWS_REGION"},
		"no table":           {200, `{}`, "TABLE_NAME", "", "TABLE_NAME"},
		"a need that is not": {200, `{}`, "", "RETRIES_QUEUE_URL", "RETRIES_QUEUE_URL"},
	} {
		env := environment(secrets(t, c.status, c.answer))
		delete(env, c.unset)
		var needs []string
		if c.needs != "" {
			needs = []string{c.needs}
		}
		rt, err := Start(context.Background(), lookup(env), needs...)
		if rt != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want an error about %s", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error carries the secret: %v", name, err)
		}
	}
}

// connections returns a server and how many connections it has seen.
func connections(t *testing.T, serve http.HandlerFunc) (string, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	srv := httptest.NewUnstartedServer(serve)
	srv.Listener = &counting{srv.Listener, &n}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, &n
}

func TestAConnectionIsUsedAgainUnlessTheProcessWasFrozen(t *testing.T) {
	url, opened := connections(t, func(http.ResponseWriter, *http.Request) {})
	now := time.Now()
	c := newClient(func() time.Time { return now })
	get := func() {
		t.Helper()
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for i, step := range []struct {
		wait time.Duration
		want int32
	}{{0, 1}, {0, 1}, {thawAfter, 1}, {thawAfter + 1, 2}, {time.Minute, 2}, {time.Hour, 3}} {
		now = now.Add(step.wait)
		get()
		if got := opened.Load(); got != step.want {
			t.Errorf("request %d: %d connections, want %d", i, got, step.want)
		}
	}
}

// TestAnAnswerThatNeverComesIsAskedForAgain: a server that takes a request and
// falls silent, as a connection does that died while the process was frozen,
// costs one timeout and not the invocation.
func TestAnAnswerThatNeverComesIsAskedForAgain(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var asked atomic.Int32
	url, _ := connections(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			<-release
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Write([]byte(`{"TableNames":["relay"]}`))
	})
	base, err := awsConfig(lookup(environment("")))
	if err != nil {
		t.Fatal(err)
	}
	db := dynamodb.NewFromConfig(base, func(o *dynamodb.Options) { o.BaseEndpoint = &url })
	ctx, cancel := context.WithTimeout(context.Background(), bounds.Record) // what the dispatcher gives it
	defer cancel()
	out, err := db.ListTables(ctx, &dynamodb.ListTablesInput{})
	if err != nil || len(out.TableNames) != 1 || asked.Load() != 2 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere, reached := connections(t, func(http.ResponseWriter, *http.Request) {})
	url, _ := connections(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newClient(time.Now).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || reached.Load() != 0 {
		t.Errorf("got %d, and %d connections elsewhere", resp.StatusCode, reached.Load())
	}
}
