package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
	"hookferry/shared/sqlite"
)

// onRecordOrQueued returns which events a restored folder has: on record, or as
// messages that a relay will record.
func onRecordOrQueued(t *testing.T, dir, account string, want map[string]bool) (missing int) {
	t.Helper()
	ctx := context.Background()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, databaseFile), Now: time.Now, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	queued := map[string]bool{}
	for q := db.Queue("events"); ; {
		msgs, err := q.Receive(ctx, relay.MaxBatch, 0, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 {
			break
		}
		for _, in := range msgs {
			if m, err := relay.DecodeMessage(in.Body); err == nil && m.Event != nil {
				queued[m.Event.ID] = true
			}
		}
	}
	for id := range want {
		if queued[id] {
			continue
		}
		if events, err := db.EventsByID(ctx, account, id); err != nil || len(events) == 0 {
			missing++
		}
	}
	return missing
}

// Twenty backups under load: the relay is killed between and in the midst of them,
// and so are backups. Each that says it is done opens, and has everything that was
// accepted before it began.
func TestEveryBackupUnderLoadIsCompleteUpToItsMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; run without -short")
	}
	dest := newDestination(t, nil)
	dir, backups := dataDir(t), t.TempDir()
	c := newCrowd(t, start{env: []string{"DELIVERY_TIMEOUT=1s"}, args: []string{"-data", dir}})
	c.current.Load().endpoint(dest.URL)
	account := c.current.Load().Account
	stop := make(chan struct{})
	var load sync.WaitGroup
	for w := range 6 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					c.publish("order.paid", fmt.Sprint(w, i))
				}
			}
		})
	}
	taken, killed, complete := 0, 0, 0
	for n := 0; complete < 20; n++ {
		file := filepath.Join(backups, fmt.Sprintf("copy-%d.db", n))
		c.mu.Lock()
		before := maps.Clone(c.accepted)
		c.mu.Unlock()
		cmd := hookferry(t, nil, "backup", file, "-data", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		taken++
		switch n % 5 {
		case 1: // the relay dies under the backup
			c.restart()
		case 3: // the backup dies; how far it came is chance
			time.Sleep(time.Duration(10+2*n) * time.Millisecond)
			cmd.Process.Kill()
		}
		if err := cmd.Wait(); err != nil {
			if n%5 != 3 {
				t.Fatalf("backup %d: %v", n, err)
			}
			killed++
			if _, err := os.Stat(file); err != nil {
				continue
			} // it was done, but for saying so
		}
		complete++
		restored := filepath.Join(t.TempDir(), "data")
		output(t, nil, "restore", file, "-data", restored, "-keyring", filepath.Join(dir, keyringFile))
		if missing := onRecordOrQueued(t, restored, account, before); missing > 0 {
			t.Errorf("backup %d lacks %d of %d events that were accepted before it began", n, missing, len(before))
		}
		os.RemoveAll(restored)
	}
	close(stop)
	load.Wait()
	if left, err := filepath.Glob(filepath.Join(backups, ".*part")); err != nil || len(left) > 1 { // of the last one that was killed
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Logf("%d backups begun, %d killed, %d done and complete, %d events accepted meanwhile", taken, killed, complete, len(c.accepted))
}

func TestARestoredRelayGoesOnWhereItsBackupWas(t *testing.T) {
	dest := newDestination(t, nil)
	dir, away := dataDir(t), t.TempDir()
	r := dev(t, start{args: []string{"-data", dir}})
	_, secret := r.endpoint(dest.URL)
	r.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{"n": 1}})
	dest.wait(t, 1, 5*time.Second)
	file, ring := filepath.Join(away, "copy.db"), filepath.Join(away, "ring.json")

	var done backedUp
	if err := json.Unmarshal([]byte(output(t, nil, "backup", file, "-data", dir, "-keyring", ring, "-json")), &done); err != nil || done.Bytes == 0 || done.Keyring != ring {
		t.Errorf("backup: %+v, %v", done, err)
	}
	for _, name := range []string{file, ring} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	if said := refused(t, nil, "backup", file, "-data", dir); !strings.Contains(said, "-force") {
		t.Errorf("over a file: %s", said)
	}
	if said := output(t, nil, "backup", "-data", dir, "-force", file); !strings.Contains(said, "not in it: "+dir+"/keyring.json") {
		t.Errorf("without the keyring: %s", said)
	}
	if said := refused(t, nil, "restore", file, "-data", dir); !strings.Contains(said, "in use") {
		t.Errorf("under a relay: %s", said)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if said := refused(t, nil, "restore", file, "-data", dir); !strings.Contains(said, "-force") {
		t.Errorf("over a data folder: %s", said)
	}
	if said := refused(t, nil, "restore", file, "-data", filepath.Join(away, "none")); !strings.Contains(said, "-keyring FILE") {
		t.Errorf("without a keyring: %s", said)
	}
	// The keyring of another relay opens nothing, and nothing is made.
	other := dataDir(t)
	output(t, nil, "keys", "create", "-data", other, "-account", "other")
	fresh := filepath.Join(away, "fresh")
	if said := refused(t, nil, "restore", file, "-data", fresh, "-keyring", filepath.Join(other, keyringFile)); !strings.Contains(said, "is not the one of this backup") {
		t.Errorf("with another keyring: %s", said)
	}
	if left, err := filepath.Glob(filepath.Join(fresh, "*")); err != nil || len(left) != 1 { // the lock
		t.Errorf("a refused restore left %v, %v", left, err)
	}

	output(t, nil, "restore", file, "-data", fresh, "-keyring", ring)
	if said := output(t, nil, "restore", file, "-data", dir, "-force"); !strings.Contains(said, "moved aside") {
		t.Errorf("with -force: %s", said)
	}
	again := dev(t, start{args: []string{"-data", fresh}})
	if events := again.list("/api/v1/webhook-events"); len(events) != 1 {
		t.Errorf("the restored relay has %d events, want 1", len(events))
	}
	again.Key = r.Key
	again.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{"n": 2}})
	got := dest.wait(t, 2, 5*time.Second)
	last := got[len(got)-1]
	if err := signature.VerifyRivya(last.header.Get("Rivya-Webhook-Signature"), last.header.Get("Rivya-Webhook-Timestamp"),
		last.body, last.at, relay.Secret(secret)); err != nil {
		t.Errorf("the delivery of the restored relay: %v", err)
	}
}
