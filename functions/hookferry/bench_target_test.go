package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The same load on another system, told by a template: here a second relay.
func TestBenchMeasuresAnotherSystem(t *testing.T) {
	r := dev(t, start{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close() // free for the bench
	created := r.call(201, "POST", "/api/v1/webhooks", map[string]any{
		"name": "bench", "url": "http://" + addr, "event_types": []string{"*"}, "signatures": []string{"rivya", "standard"},
	})
	template := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(template, []byte(`{"type":"order.sent","data":{{data}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOOKFERRY_BENCH_KEY=" + r.Key, "HOOKFERRY_BENCH_SECRET=" + created["signing_secret"].(string)}
	args := []string{
		"bench", "-json", "-n", "100", "-target", r.API + "/api/v1/webhook-events", "-listen", addr,
		"-template", template, "-header", "Idempotency-Key: {{id}}", "-pid", fmt.Sprint(r.cmd.Process.Pid), "-dir", t.TempDir(),
	}
	for _, scheme := range []string{"rivya", "standard", "none"} {
		var got struct {
			Target      string
			Relay, Bare measured
			Ratio       float64 `json:"cpu_ratio"`
		}
		if err := json.Unmarshal([]byte(output(t, env, append(args, "-scheme", scheme)...)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Target == "" || got.Relay.P50 <= 0 || got.Ratio <= 0 || got.Relay.Machine.HMAC <= 0 || got.Bare.Machine.Sync <= 0 {
			t.Errorf("%s: got %+v, want everything measured", scheme, got)
		}
	}
	if said := refused(t, append(env, "HOOKFERRY_BENCH_SECRET=whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), args...); !strings.Contains(said, "signature is wrong") {
		t.Errorf("with another secret: %s", said)
	}
	if said := refused(t, append(env, "HOOKFERRY_BENCH_KEY=rvya_sk_wrong"), args...); !strings.Contains(said, "401") {
		t.Errorf("with another key: %s", said)
	}
	if said := refused(t, nil, args...); !strings.Contains(said, "-secret-file") {
		t.Errorf("without a secret: %s", said)
	}
	for flag, bad := range map[string]string{"-target": "ftp://x", "-scheme": "none at all", "-header": "no colon", "-pid": "0"} {
		if said := refused(t, env, append(args, flag, bad)...); !strings.Contains(said, flag) {
			t.Errorf("%s %s: %s", flag, bad, said)
		}
	}
}
