package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"syscall"
	"testing"
)

func TestServeHoldsToTheRulesOfProduction(t *testing.T) {
	dir := dataDir(t)
	public := []string{"PUBLIC_URL=https://hooks.example.com"}
	if said := refused(t, nil, "serve", "-data", dir); !strings.Contains(said, "PUBLIC_URL") {
		t.Errorf("without PUBLIC_URL: %s", said)
	}
	if said := refused(t, public, "serve"); !strings.Contains(said, "-data") {
		t.Errorf("without -data: %s", said)
	}
	if said := refused(t, append(public, "ALLOW_PRIVATE_DESTINATIONS=true"), "serve", "-data", dir); !strings.Contains(said, "ALLOW_PRIVATE_DESTINATIONS") {
		t.Errorf("with private destinations: %s", said)
	}
	r := dev(t, start{args: []string{"-data", dir}})
	if said := refused(t, public, "serve", "-addr", "127.0.0.1:0", "-data", dir); !strings.Contains(said, "in use") {
		t.Errorf("on a folder in use: %s", said)
	}
	if err := r.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestServeStartsStopsAndStartsAgain(t *testing.T) {
	dir := dataDir(t)
	var made struct {
		Key string `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(output(t, nil, "keys", "create", "-data", dir, "-account", "acme", "-scopes", "all", "-json")), &made); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cmd := hookferry(t, []string{"PUBLIC_URL=https://hooks.example.com"}, "serve", "-addr", "127.0.0.1:0", "-data", dir)
		logs, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stdout bytes.Buffer
		cmd.Stdout = &stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		r := &relayProc{t: t, Key: made.Key}
		lines := bufio.NewScanner(logs)
		for r.API == "" && lines.Scan() {
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
				r.API = line.Address
			}
		}
		if r.API == "" {
			t.Fatal("serve did not get ready")
		}
		go io.Copy(io.Discard, logs)
		src := r.call(201, "POST", "/api/v1/sources", map[string]any{"name": "sivi", "provider": "sivi"})
		if url := src["ingest_url"].(string); !strings.HasPrefix(url, "https://hooks.example.com/in/") {
			t.Errorf("ingest_url: %s", url)
		}
		if status, answer, err := r.try("POST", "/api/v1/webhooks", map[string]any{"name": "x", "url": "https://127.0.0.1:8443/", "event_types": []string{"*"}}); err != nil || status != 400 {
			t.Errorf("a private destination: got %d %v %v", status, answer, err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if stdout.Len() > 0 {
			t.Errorf("serve prints %q; no key may show", &stdout)
		}
	}
}

func TestDevRefusesPrivateDestinationsWhenTold(t *testing.T) {
	r := dev(t, start{env: []string{"ALLOW_PRIVATE_DESTINATIONS=false"}})
	status, answer, err := r.try("POST", "/api/v1/webhooks", map[string]any{"name": "x", "url": "http://127.0.0.1:9", "event_types": []string{"*"}})
	if err != nil || status != 400 || answer["error"].(map[string]any)["code"] != "webhook_url_rejected" {
		t.Errorf("got %d %v %v", status, answer, err)
	}
}
