package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAFullDiskIsAnswered503AndPassesByItself(t *testing.T) {
	mount := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "hookferry-test", mount).CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be made here (mount: %s): not tried", strings.TrimSpace(string(out)))
	}
	r := dev(t, start{args: []string{"-data", filepath.Join(mount, "data")}})
	t.Cleanup(func() { // after the relay has ended
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	t.Cleanup(r.kill)
	dest := newDestination(t, nil)
	r.endpoint(dest.URL)
	url, secret := r.rivyaSource()
	call := func(id string) int {
		body := fmt.Sprintf(`{"id":%q,"type":"generation.succeeded","data":{}}`, id)
		status, _ := sendRivya(t, url, secret, id, []byte(body))
		return status
	}
	if got := call("evt_before"); got != 200 {
		t.Fatalf("with room: got %d", got)
	}
	dest.wait(t, 1, 5*time.Second)

	filler := filepath.Join(mount, "filler")
	if err := exec.Command("dd", "if=/dev/zero", "of="+filler, "bs=4k").Run(); err == nil {
		t.Fatal("the disk is not full")
	}
	accepted := map[string]bool{"evt_before": true}
	full := 0
	for i := range 2000 { // what room the file has already is used up first
		id := fmt.Sprintf("evt_%d", i)
		switch got := call(id); got {
		case 200:
			accepted[id] = true
		case 503:
			full++
		default:
			t.Fatalf("on a full disk: got %d, want 200 or 503", got)
		}
		if full == 20 {
			break
		}
	}
	if full == 0 {
		t.Fatal("the disk never got full")
	}
	// A small write may still find the room of what has been delivered since.
	for status := 201; status == 201; {
		var answer map[string]any
		var err error
		body := map[string]any{"name": "x", "url": "http://127.0.0.1:9/" + strings.Repeat("x", 2000), "event_types": []string{"order.never"}}
		if status, answer, err = r.try("POST", "/api/v1/webhooks", body); err != nil || status != 503 && status != 201 {
			t.Errorf("the API on a full disk: got %d %v %v, want 503", status, answer, err)
			break
		}
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		if got := call("evt_after"); got != 200 {
			return fmt.Sprintf("with room again: got %d", got)
		}
		return ""
	})
	accepted["evt_after"] = true
	eventually(t, 60*time.Second, func() string {
		got := map[string]bool{}
		for _, d := range dest.deliveries() {
			got[d.header.Get("Rivya-Webhook-Id")] = true
		}
		for id := range accepted {
			if !got[id] {
				return id + " was accepted and has not arrived"
			}
		}
		return ""
	})
	t.Logf("ledger: %d accepted around a full disk, all delivered; %d refused with 503", len(accepted), full)
}
