package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asMain makes the test binary behave as the program, so that every test runs
// the real one in a process of its own without building it a second time.
const asMain = "HOOKFERRY_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		defer profile()()
		main()
		return
	}
	os.Exit(m.Run())
}

// asProfiled names what the CPU profiles of a bench's processes begin with, as in
// go test -c -o hf.test && HOOKFERRY_TEST_AS_MAIN=1 HOOKFERRY_TEST_PROFILE=/tmp/p- ./hf.test bench
const asProfiled = "HOOKFERRY_TEST_PROFILE"

// profile starts a CPU profile, if one is asked for, and returns what ends it.
func profile() func() {
	prefix := os.Getenv(asProfiled)
	if prefix == "" || len(os.Args) < 2 {
		return func() {}
	}
	f, err := os.Create(prefix + os.Args[1])
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		panic(err)
	}
	return func() { pprof.StopCPUProfile(); f.Close() }
}

// command returns the program with args; env are NAME=value pairs.
func hookferry(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return hookferryAs(exe, env, args...)
}

// hookferryAs is the same by another path, such as a script that sets limits.
func hookferryAs(exe string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(exe, args...)
	cmd.Env = append(append(os.Environ(), asMain+"=1"), env...)
	return cmd
}

// output runs the program to its end and returns its standard output.
func output(t testing.TB, env []string, args ...string) string {
	t.Helper()
	cmd := hookferry(t, env, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("hookferry %v: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// refused runs the program, which must fail, and returns its standard error.
func refused(t testing.TB, env []string, args ...string) string {
	t.Helper()
	cmd := hookferry(t, env, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	done := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer done.Stop()
	if err := cmd.Run(); !errors.As(err, &exit) {
		t.Fatalf("hookferry %v: got %v, want a failure", args, err)
	} else if exit.ExitCode() < 1 {
		t.Fatalf("hookferry %v: it did not end by itself\n%s", args, &stderr)
	}
	return stderr.String()
}

// A relay is a running dev.
type relayProc struct {
	t       testing.TB
	cmd     *exec.Cmd
	API     string `json:"api"`
	Account string `json:"account"`
	Key     string `json:"api_key"`
	Ready   bool   `json:"ready"`
	log     *bytes.Buffer
	logMu   *sync.Mutex
	exited  chan error
}

// dev starts hookferry dev on a free port and waits until it is ready. It is
// stopped when the test ends.
func dev(t testing.TB, s start) *relayProc {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return devAs(t, exe, s)
}

// devAs is the same by another path.
func devAs(t testing.TB, exe string, s start) *relayProc {
	t.Helper()
	cmd := hookferryAs(exe, s.env, append([]string{"dev", "-addr", "127.0.0.1:0"}, s.args...)...)
	r := &relayProc{t: t, cmd: cmd, log: new(bytes.Buffer), logMu: new(sync.Mutex), exited: make(chan error, 1)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadBytes('\n')
			r.logMu.Lock()
			if r.log.Len() < 1<<20 {
				r.log.Write(line)
			}
			r.logMu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	go func() {
		<-logged
		r.exited <- cmd.Wait()
	}()
	if err == nil {
		err = json.Unmarshal(line, r)
	}
	if err != nil || !r.Ready {
		cmd.Process.Kill()
		<-logged
		t.Fatalf("dev did not get ready: %v\n%s", err, r.log)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the relay:\n%s", r.tail())
		}
		r.kill()
	})
	return r
}

func (r *relayProc) tail() string {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	b := r.log.Bytes()
	return string(b[max(0, len(b)-8000):])
}

// kill ends the process as a power cut would.
func (r *relayProc) kill() {
	r.cmd.Process.Kill()
	err := <-r.exited
	r.exited <- err
}

// stop asks it to stop and returns how it ended.
func (r *relayProc) stop() error {
	r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-r.exited:
		r.exited <- err
		return err
	case <-time.After(30 * time.Second):
		return errors.New("it did not stop within 30 s")
	}
}

var plain = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// try makes one call of the API and returns the status and the answer.
func (r *relayProc) try(method, path string, body any, headers ...string) (int, map[string]any, error) {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		rd = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.API+path, rd)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.Key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := plain.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var answer map[string]any
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return resp.StatusCode, answer, err
}

// call is try for a call that must be answered with want.
func (r *relayProc) call(want int, method, path string, body any, headers ...string) map[string]any {
	r.t.Helper()
	status, answer, err := r.try(method, path, body, headers...)
	if err != nil || status != want {
		r.t.Fatalf("%s %s: got %d %v %v, want %d", method, path, status, answer, err, want)
	}
	return answer
}

// list reads every page of a list.
func (r *relayProc) list(path string) (items []map[string]any) {
	r.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	for cursor := ""; ; {
		url := path + sep + "limit=100"
		if cursor != "" {
			url += "&cursor=" + cursor
		}
		page := r.call(200, "GET", url, nil)
		for _, item := range page["data"].([]any) {
			items = append(items, item.(map[string]any))
		}
		if page["has_more"] != true {
			return items
		}
		cursor = page["next_cursor"].(string)
	}
}

// endpoint creates an endpoint for url and returns its id and secret.
func (r *relayProc) endpoint(url string, types ...string) (id, secret string) {
	r.t.Helper()
	if len(types) == 0 {
		types = []string{"*"}
	}
	ep := r.call(201, "POST", "/api/v1/webhooks", map[string]any{"name": "test", "url": url, "event_types": types})
	return ep["id"].(string), ep["signing_secret"].(string)
}

// rivyaSource creates a source and returns its ingest URL and secret.
func (r *relayProc) rivyaSource() (url, secret string) {
	r.t.Helper()
	secret = "whsec_the-secret-that-rivya-showed"
	src := r.call(201, "POST", "/api/v1/sources", map[string]any{"name": "rivya", "provider": "rivya", "signing_secret": secret})
	return src["ingest_url"].(string), secret
}

func (b testBackend) start(args ...string) start {
	return start{env: b.env, args: append(append([]string(nil), b.args...), args...)}
}
