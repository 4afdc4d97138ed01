package functions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// binaries builds the three Lambdas once, as they are deployed but for the
// machine that this is.
var binaries = sync.OnceValues(func() (string, error) { return build(lambdas) })

// workDir is where the tests build; it goes with them.
var workDir string

// build builds Lambdas with the flags of make build, and more, into a folder.
func build(names []string, more ...string) (string, error) {
	dir, err := os.MkdirTemp(workDir, "")
	if err != nil {
		return "", err
	}
	args := append([]string{"build", "-trimpath", "-tags", "lambda.norpc", "-ldflags=-s -w -buildid=", "-o", dir + string(filepath.Separator)}, more...)
	for _, name := range names {
		args = append(args, "./"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
}

func TestMain(m *testing.M) {
	var err error
	if workDir, err = os.MkdirTemp("", "hookferry-lambdas"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(workDir)
	os.Exit(code)
}

// An invocation is one call of a function and what came of it.
type invocation struct {
	event    []byte
	deadline time.Time
	done     chan outcome
}

type outcome struct {
	payload []byte
	failed  bool // by /error
}

// An instance is a running Lambda and the Runtime API that it talks to.
type instance struct {
	invocations chan *invocation
	ready       chan struct{} // closed at the first next
	exited      chan error
	started     time.Time
	initTime    time.Duration
	process     *os.Process

	mu      sync.Mutex
	running map[string]*invocation
	log     bytes.Buffer
	asked   bool
}

// start runs a Lambda with this environment and nothing else.
func start(tb testing.TB, name string, env []string) *instance {
	tb.Helper()
	dir, err := binaries()
	if err != nil {
		tb.Fatal(err)
	}
	return startFrom(tb, dir, name, env)
}

// startFrom is start with a Lambda that was built into dir.
func startFrom(tb testing.TB, dir, name string, env []string) *instance {
	tb.Helper()
	in := &instance{invocations: make(chan *invocation), ready: make(chan struct{}), exited: make(chan error, 1), running: map[string]*invocation{}}
	stop := make(chan struct{})
	mux := http.NewServeMux()
	const prefix = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+prefix+"invocation/next", func(w http.ResponseWriter, r *http.Request) { in.next(w, r, stop) })
	mux.HandleFunc("POST "+prefix+"invocation/{id}/{result}", in.result)
	api := httptest.NewServer(mux)
	cmd := exec.Command(filepath.Join(dir, name))
	cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://"),
		"AWS_LAMBDA_FUNCTION_NAME=hookferry-test-" + name,
	}, env...)
	cmd.Stdout, cmd.Stderr = in, in
	in.mu.Lock()
	in.started = time.Now()
	err := cmd.Start()
	in.mu.Unlock()
	if err != nil {
		tb.Fatal(err)
	}
	in.process = cmd.Process
	go func() {
		err := cmd.Wait()
		if err == nil {
			err = errors.New("by itself")
		}
		in.exited <- err
	}()
	tb.Cleanup(func() {
		close(stop)
		cmd.Process.Kill()
		api.Close()
		if tb.Failed() {
			tb.Logf("%s wrote:\n%s", name, in.written())
		}
	})
	return in
}

// await returns when the init is over.
func (in *instance) await(tb testing.TB) {
	tb.Helper()
	select {
	case <-in.ready:
	case err := <-in.exited:
		tb.Fatalf("ended in init: %v\n%s", err, in.written())
	case <-time.After(20 * time.Second):
		tb.Fatalf("no end of init\n%s", in.written())
	}
}

// invoke calls the function with an event, which is marshalled.
func (in *instance) invoke(tb testing.TB, event any, timeout time.Duration) outcome {
	tb.Helper()
	in.await(tb)
	out, err := in.try(event, timeout)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// try is invoke for a function that may end meanwhile, and for any goroutine.
func (in *instance) try(event any, timeout time.Duration) (outcome, error) {
	body, err := json.Marshal(event)
	if err != nil {
		return outcome{}, err
	}
	inv := &invocation{event: body, deadline: time.Now().Add(timeout), done: make(chan outcome, 1)}
	late := time.After(timeout + 5*time.Second)
	var ended error
	select {
	case in.invocations <- inv:
	case ended = <-in.exited:
	case <-late:
		return outcome{}, fmt.Errorf("the function asks for no invocation\n%s", in.written())
	}
	if ended == nil {
		select {
		case out := <-inv.done:
			return out, nil
		case ended = <-in.exited:
		case <-late:
			return outcome{}, fmt.Errorf("no answer\n%s", in.written())
		}
	}
	in.exited <- ended
	return outcome{}, fmt.Errorf("ended: %w\n%s", ended, in.written())
}

func (in *instance) next(w http.ResponseWriter, r *http.Request, stop chan struct{}) {
	in.mu.Lock()
	if !in.asked {
		in.asked, in.initTime = true, time.Since(in.started)
		close(in.ready)
	}
	in.mu.Unlock()
	select {
	case inv := <-in.invocations:
		in.mu.Lock()
		id := fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", len(in.running))
		in.running[id] = inv
		in.mu.Unlock()
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:test")
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
		h.Set("Content-Type", "application/json")
		w.Write(inv.event)
	case <-r.Context().Done():
	case <-stop:
	}
}

func (in *instance) result(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	in.mu.Lock()
	inv := in.running[r.PathValue("id")]
	in.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	inv.done <- outcome{payload, r.PathValue("result") == "error"}
}

// Write takes what the process writes.
func (in *instance) Write(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.log.Write(p)
}

func (in *instance) written() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.log.String()
}

// wrote waits until the process has written the text n times, and returns all
// that it has written: an answer may overtake the line about it.
func (in *instance) wrote(tb testing.TB, n int, text string) string {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		log := in.written()
		if strings.Count(log, text) >= n {
			return log
		}
		if time.Now().After(end) {
			tb.Fatalf("%q was not written %d times", text, n)
		}
	}
}
