package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// smallDisk returns a folder with room for 6 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skip("needs the right to mount a small disk:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestALogThatFillsTheDiskIsCopied(t *testing.T) {
	db, err := Open(t.Context(), Config{Path: filepath.Join(smallDisk(t), "hookferry.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// Each write adds pages to the log and none to the file.
	const n = 5000
	counted := 0
	for range n {
		if _, err := db.AddOutcomes(t.Context(), "whend_1", relay.Outcomes{FailuresAfter: 1}); err == nil {
			counted++
		}
	}
	if counted < n-n/100 {
		t.Errorf("%d of %d writes found no room on a disk that has some", n-counted, n)
	}
	got, err := db.Counters(t.Context(), "whend_1")
	if err != nil || got["whend_1"].FailureCount != counted {
		t.Errorf("counted %d, %v; want %d", got["whend_1"].FailureCount, err, counted)
	}
}

func TestAFullDiskIsAnErrorThatPasses(t *testing.T) {
	dir := smallDisk(t)
	fillers := []string{filepath.Join(dir, "one"), filepath.Join(dir, "two")}
	for _, f := range fillers {
		if err := os.WriteFile(f, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "hookferry.db")
	db, err := Open(t.Context(), Config{Path: path, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	q := db.Queue("events")
	body := strings.Repeat("x", 10_000)
	sent := 0
	for err == nil && sent < 1000 {
		if err = q.Send(t.Context(), message(body)); err == nil {
			sent++
		}
	}
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Fatalf("after %d messages: %v", sent, err)
	}
	for range 5 { // it stays an error, and reading works meanwhile
		if err := q.Send(t.Context(), message(body)); err == nil {
			sent++
		}
		if _, _, err := q.Depth(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(fillers[0]); err != nil {
		t.Fatal(err)
	}
	for range 5 { // and not just once
		if err := q.Send(t.Context(), message(body)); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	if err := os.Remove(fillers[1]); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = Open(t.Context(), Config{Path: path, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q = db.Queue("events")
	got := 0
	for {
		msgs, err := q.Receive(t.Context(), relay.MaxBatch, 0, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 {
			break
		}
		got += len(msgs)
		if err := q.Delete(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
	if got != sent {
		t.Errorf("received %d messages, want the %d that were acknowledged", got, sent)
	}
}
