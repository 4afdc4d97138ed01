package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lmittmann/tint"
)

// halfACall begins a call of the API and never ends it.
func halfACall(t *testing.T, r *relayProc) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.API, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /api/v1/webhooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", r.Key)
	r.call(200, "GET", "/api/v1/webhooks", nil) // by now the other has been taken
	return conn
}

func TestAStopDoesNotWaitForStrangers(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			r := dev(t, start{env: []string{"DELIVERY_TIMEOUT=2s"}})
			halfACall(t, r)
			began := time.Now()
			r.cmd.Process.Signal(sig)
			err := <-r.exited
			r.exited <- err
			if took := time.Since(began); err != nil || took > 5*time.Second {
				t.Errorf("stopped after %s: %v, want exit code 0 within the delivery timeout", took, err)
			}
			if !strings.Contains(r.tail(), `"msg":"stopped"`) {
				t.Error("it does not say that it has stopped")
			}
		})
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	r := dev(t, start{env: []string{"DELIVERY_TIMEOUT=30s"}})
	halfACall(t, r)
	r.cmd.Process.Signal(syscall.SIGINT)
	for !strings.Contains(r.tail(), `"msg":"stopping"`) {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	r.cmd.Process.Signal(syscall.SIGINT)
	err := <-r.exited
	r.exited <- err
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it ended %s after the second signal: %v", took, err)
	}
}

// Whoever opens connections and says nothing takes none from those who call,
// also where few files are allowed.
func TestAFewFilesAndManySilentConnectionsHoldUpNobody(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs a shell that sets limits:", err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dest := newDestination(t, func(int, delivery) int { return 200 })
	script := filepath.Join(t.TempDir(), "limited")
	if err := os.WriteFile(script, []byte("#!/usr/bin/env bash\nulimit -n 160\nexec "+exe+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := devAs(t, script, start{})
	ep := r.call(201, "POST", "/api/v1/webhooks", map[string]any{"name": "a", "url": dest.URL + "/a", "event_types": []string{"*"}})
	for range 200 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.API, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "POST /in/src_x HTTP/1.1\r\nHo") // half open
	}
	plain.CloseIdleConnections()
	for i := range 20 {
		r.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{"n": i}})
	}
	dest.wait(t, 20, 20*time.Second)
	for _, a := range r.list("/api/v1/webhooks/" + ep["id"].(string) + "/deliveries") {
		if a["status"] != "succeeded" {
			t.Errorf("an attempt went wrong: %v", a)
		}
	}
}

func TestServeRefusesWhatOthersMayRead(t *testing.T) {
	public := []string{"PUBLIC_URL=https://hooks.example.com"}
	dir := filepath.Join(t.TempDir(), "data")
	output(t, nil, "keys", "create", "-data", dir, "-account", "a")
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, keyringFile): 0o644, filepath.Join(dir, databaseFile): 0o660} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if said := refused(t, public, "serve", "-addr", "127.0.0.1:0", "-data", dir); !strings.Contains(said, "chmod go= "+path) {
			t.Errorf("%s with mode %o: %s", path, mode, said)
		}
		if err := os.Chmod(path, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if said := refused(t, []string{"PUBLIC_URL=http://hooks.example.com"}, "serve", "-data", dir); !strings.Contains(said, "not https") {
		t.Errorf("a PUBLIC_URL without TLS: %s", said)
	}
}

func TestStartNamesMisspeltSettingsAndThoseInForce(t *testing.T) {
	r := dev(t, start{env: []string{"RETRY_SCHEDULES=0s,1s", "RETENTION_DAYS=7"}})
	for _, want := range []string{"RETRY_SCHEDULES is not a setting; is RETRY_SCHEDULE meant?", "RETENTION_DAYS=7", "RETRY_SCHEDULE=0s,1m,5m,30m,2h"} {
		eventually(t, 10*time.Second, func() string { // the log is read beside what is printed
			if !strings.Contains(r.tail(), want) {
				return fmt.Sprintf("the log does not say %q", want)
			}
			return ""
		})
	}
}

func TestNothingInALogActsOnATerminal(t *testing.T) {
	nasty := []string{"\x1b[31mred", `\x1b[31mred`, "\u009b31m", "over\rwritten", "right\u202eto left", "line\u2028break", "bell\a", "bad\xff"}
	for _, text := range nasty {
		for name, handler := range map[string]func(w io.Writer) slog.Handler{
			"a terminal": func(w io.Writer) slog.Handler { return tint.NewTextHandler(w, &tint.Options{NoColor: true}) },
			"JSON":       func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		} {
			var out bytes.Buffer
			log := slog.New(harmlessHandler{handler(&out)}).With("with", text)
			log.WithGroup("group").Info(text, "value", text, "error", fmt.Errorf("wrapped: %s", text), "list", []string{text}, slog.Group("g", "in", text))
			line := strings.TrimSuffix(out.String(), "\n")
			if i := strings.IndexFunc(line, func(r rune) bool {
				return r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x202e || r == 0x2028 || r == 0xfffd && name == "x"
			}); i >= 0 {
				t.Errorf("%q on %s: %q", text, name, line)
			}
		}
	}
}

func TestASecretIsReadFromAFileAndWarnedAboutAsAnArgument(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("rvya_sk_wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := dev(t, start{})
	said := refused(t, nil, "send", "rivya", "-api", r.API, "-key-file", file)
	if !strings.Contains(said, "api_key_invalid") || strings.Contains(said, "warning") {
		t.Errorf("from a file: %s", said)
	}
	said = refused(t, []string{"HOOKFERRY_API_KEY=rvya_sk_wrong"}, "send", "rivya", "-api", r.API)
	if !strings.Contains(said, "api_key_invalid") || strings.Contains(said, "warning") {
		t.Errorf("from the environment: %s", said)
	}
	if said = refused(t, nil, "send", "rivya", "-api", r.API, "-key", "rvya_sk_wrong"); !strings.Contains(said, "-key-file") {
		t.Errorf("as an argument, nothing is said of the danger: %s", said)
	}
	if said = refused(t, nil, "send", "rivya", "-api", r.API, "-key-file", file+"x"); !strings.Contains(said, "-key-file") {
		t.Errorf("from a file that is not there: %s", said)
	}
}
