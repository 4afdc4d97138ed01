package sqlite

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

// folder returns the content of a folder's files by name.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

// filled returns the path of a closed data file of some pages.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hookferry.db")
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := db.Queue("events").Send(t.Context(), message(strings.Repeat("x", 3000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestABadFileIsRefusedAndLeftAsItWas(t *testing.T) {
	tests := map[string]struct {
		damage func(t *testing.T, path string)
		want   error
		says   string
	}{
		"text": {func(t *testing.T, path string) {
			edit(t, path, func([]byte) []byte { return []byte(strings.Repeat("not a database ", 100)) })
		}, ErrDamaged, "no SQLite file"},
		"short": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:50] })
		}, ErrDamaged, "restore a copy"},
		"empty": {func(t *testing.T, path string) {
			edit(t, path, func([]byte) []byte { return nil })
		}, ErrDamaged, "empty"},
		"cut in half": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)/2] })
		}, ErrDamaged, "restore a copy"},
		"a page of zeros": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[20*4096 : 21*4096]); return b })
		}, ErrDamaged, "restore a copy"},
		"noise in the schema": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte {
				for i := 100; i < 4096; i++ {
					b[i] ^= 0x5a
				}
				return b
			})
		}, ErrDamaged, "restore a copy"},
		"damaged, with a log": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[20*4096 : 21*4096]); return b })
			if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "restore a copy"},
		"missing, with a log": {func(t *testing.T, path string) {
			if err := os.Rename(path, path+"-wal"); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "missing"},
		"of another program": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { copy(b[68:], "\x00\x00\x00\x07"); return b })
		}, ErrDamaged, "application id 0x7"},
		"from the future": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { copy(b[60:], "\x00\x00\x03\xe7"); return b })
		}, ErrNewer, "999"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			tt.damage(t, path)
			before := folder(t, filepath.Dir(path))
			for range 2 {
				db, err := Open(t.Context(), Config{Path: path})
				if err == nil {
					db.Close()
				}
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
					t.Fatalf("got %v, want %v about %s that says %q", err, tt.want, path, tt.says)
				}
			}
			after := folder(t, filepath.Dir(path))
			delete(after, filepath.Base(path)+"-shm") // SQLite's scratch memory, no data
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the refused file was changed: %s", diff[:min(len(diff), 500)])
			}
		})
	}
}

func TestDamageFoundInUseStopsWriting(t *testing.T) {
	path := filled(t)
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The writer has read little of the file yet; now the rest is lost.
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	q := db.Queue("events")
	for range 3 {
		if err := q.Send(t.Context(), message("x")); !errors.Is(err, ErrDamaged) {
			t.Fatalf("got %v, want %v", err, ErrDamaged)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 4096 {
		t.Errorf("the damaged file was written to: %v, %v", info.Size(), err)
	}
}

func TestOnlyOneOpensExclusively(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hookferry.db")
	first, err := Open(t.Context(), Config{Path: path, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Path: path, Exclusive: true}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second exclusive open: got %v, want %v", err, ErrInUse)
	}
	open(t, Config{Path: path}) // another process of another kind
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Path: path, Exclusive: true})
}

func TestAFileIsMadeForItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "new folder", "a?b#c%20d&mode=memory")
	db := open(t, Config{Path: filepath.Join(dir, "hookferry.db"), Exclusive: true})
	if err := db.Queue("events").Send(t.Context(), message("x")); err != nil {
		t.Fatal(err)
	}
	got := map[string]fs.FileMode{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = info.Mode()
	}
	want := map[string]fs.FileMode{"hookferry.db": 0o600, "hookferry.db-wal": 0o600, "hookferry.db-shm": 0o600, "hookferry.db.lock": 0o600}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMigration(t *testing.T) {
	all := migrations
	defer func() { migrations = all }()
	path := firstVersion(t)
	migrations = []string{migrations[0], "CREATE TABLE more (x); INSERT INTO more VALUES (42);"}

	held, err := lockFile(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	before := folder(t, filepath.Dir(path))
	if _, err := Open(t.Context(), Config{Path: path}); !errors.Is(err, ErrInUse) {
		t.Errorf("an older file in use: got %v, want %v", err, ErrInUse)
	}
	if diff := cmp.Diff(before, folder(t, filepath.Dir(path))); diff != "" {
		t.Error("an older file in use was changed")
	}
	held.release()

	for range 2 {
		db := open(t, Config{Path: path})
		var got int64
		if err := db.read(t.Context(), func(c *conn) (err error) { got, err = c.number("SELECT x FROM more"); return err }); err != nil || got != 42 {
			t.Errorf("got %d, %v", got, err)
		}
		if got := db.w.commits.Load(); got != 0 {
			t.Errorf("opening for others' use made %d commits", got)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}

	migrations[1] = "CREATE TABLE half (x); SELECT nonsense;"
	path = firstVersion(t)
	if _, err := Open(t.Context(), Config{Path: path}); err == nil {
		t.Fatal("a migration that fails was no error")
	}
	migrations = migrations[:1]
	db := open(t, Config{Path: path})
	var half bool
	if err := db.read(t.Context(), func(c *conn) (err error) {
		half, err = c.exists("SELECT 1 FROM sqlite_schema WHERE name = 'half'")
		return err
	}); err != nil || half {
		t.Errorf("a migration that failed left something: %v, %v", half, err)
	}
}

func TestAReleasedMigrationIsNeverChanged(t *testing.T) {
	// Files in the world were made by these scripts. A change belongs into a
	// new one.
	want := []string{
		"aafd5c1247498119543f52f2e399fbd7a5ae79c0fd6e0b0bd5e164920c97a8ed",
		"6387493005810ed375b4e10456dadf0e62f0be0d600b28662f85253a08b75357",
		"2208abd1af0de74f742271dd93c2b10dc1ed8ae3aee38fff4dfccd41bb494781",
	}
	var got []string
	for _, m := range migrations {
		got = append(got, fmt.Sprintf("%x", sha256.Sum256([]byte(m))))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// firstVersion returns a data file of version 1, whatever the newest is, with
// messages as that version wrote them.
func firstVersion(t *testing.T) string {
	t.Helper()
	all := migrations
	defer func() { migrations = all }()
	migrations = migrations[:1]
	path := filepath.Join(t.TempDir(), "hookferry.db")
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.w.do(t.Context(), func(c *conn) error {
		for range 50 {
			id, err := c.insert(`INSERT INTO messages (lane, visible_at, receives, receipt, in_flight, sent_at, grp)
				VALUES ('events', 0, 0, 0, 0, 0, 'acct_1')`)
			if err != nil {
				return err
			}
			if _, err := c.exec("INSERT INTO bodies (id, body) VALUES (?, ?)", id, []byte(strings.Repeat("x", 3000))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFullFileIsAnErrorThatPasses(t *testing.T) {
	db := open(t, Config{Exclusive: true})
	q := db.Queue("events")
	limit := func(pages string) {
		t.Helper()
		if err := db.w.do(t.Context(), func(c *conn) error { return c.run("PRAGMA max_page_count = " + pages) }); err != nil {
			t.Fatal(err)
		}
	}
	limit("100")
	body := strings.Repeat("x", 20_000)
	var err error
	sent := 0
	for ; err == nil && sent < 1000; sent++ {
		err = q.Send(t.Context(), message(body))
	}
	sent--
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Fatalf("after %d sends: %v", sent, err)
	}
	if _, err := db.PutEvent(t.Context(), relay.EventRecord{Event: relay.Event{
		ID: "evt_1", Account: "acct_1",
		Payload: relay.PayloadFromDeflated([]byte(body + body)), CreatedAt: db.now(),
	}}); err == nil {
		t.Error("an event found room where a message did not")
	}
	limit("100000")
	if err := q.Send(t.Context(), message("there is room again")); err != nil {
		t.Fatal(err)
	}
	if got := len(received(t, q)); got != sent+1 {
		t.Errorf("received %d messages, want the %d that were acknowledged", got, sent+1)
	}
}
