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

func TestAFullDiskIsAnErrorThatPasses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skip("needs the right to mount a small disk:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
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
	if err := q.Send(t.Context(), message("there is room again")); err != nil {
		t.Fatal(err)
	}
	sent++
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
