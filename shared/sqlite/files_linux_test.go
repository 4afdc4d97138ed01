package sqlite

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"hookferry/shared/bounds"
)

// The table of the process's files has room for those that a database at work has.
func TestADatabaseHasNoMoreFilesOpenThanItsShare(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(64)) // as many readers as there can be
	path := filepath.Join(t.TempDir(), "hookferry.db")
	db := open(t, Config{Path: path, Exclusive: true})
	if got := cap(db.readers); got != bounds.MaxReaders {
		t.Errorf("%d readers, want %d", got, bounds.MaxReaders)
	}
	var all []*conn
	for range cap(db.readers) { // each has read, while there is something in the log
		if err := db.Queue("events").Send(t.Context(), message("x")); err != nil {
			t.Fatal(err)
		}
		c := <-db.readers
		if _, err := c.number("SELECT count(*) FROM messages"); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		db.readers <- c
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && strings.HasPrefix(name, path) {
			files++
		}
	}
	if files == 0 || files > bounds.DatabaseFiles {
		t.Errorf("%d files are open, want at most %d", files, bounds.DatabaseFiles)
	}
}
