package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	codes "modernc.org/sqlite/lib"
)

// raw opens a file as any other program would.
func raw(t *testing.T, path string) *conn {
	t.Helper()
	c, err := openConn(path, "mode=rw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close() })
	return c
}

// The modes that a file carries are those of whoever wrote it last.
func TestAFileThatAnotherProgramWroteIsBroughtToOurModes(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string) string{
		"a copy by VACUUM INTO": func(t *testing.T, path string) string {
			copied := filepath.Join(t.TempDir(), "copy.db")
			if err := raw(t, path).run(fmt.Sprintf("VACUUM INTO '%s'", copied)); err != nil {
				t.Fatal(err)
			}
			return copied
		},
		"journal mode persist": func(t *testing.T, path string) string {
			c := raw(t, path)
			if err := errors.Join(c.run("PRAGMA journal_mode = PERSIST"), c.close()); err != nil {
				t.Fatal(err)
			}
			return path
		},
		"pages of 32 KiB that commits move about": func(t *testing.T, path string) string {
			c := raw(t, path)
			err := c.run("PRAGMA journal_mode = DELETE; PRAGMA page_size = 32768; PRAGMA auto_vacuum = FULL; VACUUM")
			if err := errors.Join(err, c.close()); err != nil {
				t.Fatal(err)
			}
			return path
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := change(t, filled(t))
			for _, exclusive := range []bool{false, true} {
				db := open(t, Config{Path: path, Exclusive: exclusive})
				var mode string
				var vacuum, pages, page int64
				if err := db.w.do(t.Context(), func(c *conn) (err error) {
					mode, err = c.word("PRAGMA journal_mode")
					vacuum, _ = c.number("PRAGMA auto_vacuum")
					page, _ = c.number("PRAGMA page_size")
					pages, _ = c.number("PRAGMA wal_autocheckpoint")
					return err
				}); err != nil {
					t.Fatal(err)
				}
				if mode != "wal" || vacuum == 1 || pages*page != logSize {
					t.Errorf("journal mode %s, auto_vacuum %d, the log copied at %d bytes; want wal, not 1, %d", mode, vacuum, pages*page, logSize)
				}
				// A reader in the midst of a list holds nobody up.
				if err := db.snapshot(t.Context(), func(c *conn) error {
					if _, err := c.exists("SELECT 1 FROM messages"); err != nil {
						return err
					}
					return db.Queue("events").Send(t.Context(), message("x"))
				}); err != nil {
					t.Errorf("a send while a list is read: %v", err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAFileWhoseModesCannotBeChangedIsRefusedWithASentence(t *testing.T) {
	t.Run("UTF-16", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "hookferry.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c := raw(t, path)
		if err := c.run(fmt.Sprintf("PRAGMA encoding = 'UTF-16le'; PRAGMA application_id = %d", applicationID)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(migrate(c), c.close()); err != nil {
			t.Fatal(err)
		}
		if db, err := Open(t.Context(), Config{Path: path}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "UTF-16le") {
			if err == nil {
				db.Close()
			}
			t.Errorf("got %v, want it refused for UTF-16le", err)
		}
	})
	t.Run("no log possible", func(t *testing.T) {
		c, err := openConn("memory", "mode=memory") // has no other process to share a log with
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if _, err := setModes(c); err == nil || !strings.Contains(err.Error(), "keep the data folder on a disk of this machine") {
			t.Errorf("got %v, want a sentence that says what to do", err)
		}
	})
}

// In a journal mode that a running relay never has, a commit waits for readers. It
// waits its turn, as a beginning does.
func TestACommitThatReadersHoldUpIsWaitedFor(t *testing.T) {
	path := filled(t)
	c := raw(t, path)
	if err := c.run("PRAGMA journal_mode = DELETE; PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	w := &writer{c: c, logPath: path + "-wal"}
	w.start(func() error { return nil })
	defer w.close()
	reader := raw(t, path)
	if err := reader.run("BEGIN; SELECT count(*) FROM messages"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- w.do(t.Context(), func(c *conn) error {
			_, err := c.exec("INSERT INTO meta VALUES ('more', 1)")
			return err
		})
	}()
	// Once new readers are refused, the commit is at work and waits for the old one.
	other := raw(t, path)
	for err := error(nil); code(err)&0xff != codes.SQLITE_BUSY; {
		select {
		case err := <-done:
			t.Fatalf("the write ended with %v while the file was being read", err)
		default:
		}
		if err = other.run("SELECT count(*) FROM messages"); err != nil && code(err)&0xff != codes.SQLITE_BUSY {
			t.Fatal(err)
		}
	}
	if err := reader.run("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the write: %v", err)
	}
}

func TestWhoHeldTheFileIsSaidTruly(t *testing.T) {
	begin := (&busyError{"begin", busyTimeout, errors.New("locked")}).Error()
	commit := (&busyError{"commit", busyTimeout, errors.New("locked")}).Error()
	if !strings.Contains(begin, "another process has been writing") || strings.Contains(commit, "has been writing") ||
		!strings.Contains(commit, "readers") {
		t.Errorf("begin: %s; commit: %s", begin, commit)
	}
}

// logOf returns the size of a file's log.
func logOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestTheLogIsBoundedWhileTheRelayRuns(t *testing.T) {
	body := strings.Repeat("x", 500_000)
	grow := func(t *testing.T, db *DB) {
		t.Helper()
		for range 100 {
			if err := db.Queue("events").Send(t.Context(), message(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("when a long reader has ended", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "hookferry.db")
		db := open(t, Config{Path: path})
		reader := raw(t, path)
		if err := reader.run("BEGIN; SELECT count(*) FROM messages"); err != nil {
			t.Fatal(err)
		}
		grow(t, db)
		if size := logOf(t, path); size < 2*logSize {
			t.Fatalf("the log has %d bytes beside the reader; the test has shown nothing", size)
		}
		if err := reader.run("ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		grow(t, db)
		if size := logOf(t, path); size > trimAt+logSize {
			t.Errorf("the log has %d bytes after the reader has ended, want at most %d", size, trimAt+logSize)
		}
	})
	t.Run("beside readers without a gap", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "hookferry.db")
		db := open(t, Config{Path: path})
		readers, stop := [2]*conn{raw(t, path), raw(t, path)}, make(chan struct{})
		if err := readers[0].run("BEGIN; SELECT count(*) FROM meta"); err != nil {
			t.Fatal(err)
		}
		var reading sync.WaitGroup
		reading.Go(func() { // one is always reading, none for long
			for turn := 0; ; turn = 1 - turn {
				err := readers[1-turn].run("BEGIN; SELECT count(*) FROM meta")
				if err = errors.Join(err, readers[turn].run("ROLLBACK")); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		for range 4 {
			grow(t, db)
		}
		close(stop)
		reading.Wait()
		if size := logOf(t, path); size > 2*trimAt {
			t.Errorf("the log has %d bytes beside short readers, want at most %d", size, 2*trimAt)
		}
	})
	t.Run("or it is said what keeps it", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "hookferry.db")
		var said bytes.Buffer
		db := open(t, Config{Path: path, Log: slog.New(slog.NewTextHandler(&said, nil))})
		reader := raw(t, path)
		if err := reader.run("BEGIN; SELECT count(*) FROM messages"); err != nil {
			t.Fatal(err)
		}
		for logOf(t, path) < sayAt+logSize {
			grow(t, db)
		}
		if err := reader.run("ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(said.String(), "has been reading the file for long"); got != 1 {
			t.Errorf("said %d times, want once: %s", got, said.String())
		}
	})
}
