package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestABackupIsCompleteWhileTheFileIsWrittenTo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hookferry.db")
	db := open(t, Config{Path: path, Exclusive: true})
	q := db.Queue("events")
	var mu sync.Mutex
	var sent []string
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for w := range 4 {
		writing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", w, i)
				if err := q.Send(t.Context(), message(id)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				sent = append(sent, id)
				mu.Unlock()
			}
		})
	}
	for n := range 5 {
		mu.Lock()
		before := slices.Clone(sent)
		mu.Unlock()
		to := filepath.Join(dir, fmt.Sprintf("it's a copy?%d#.db", n))
		if err := Backup(t.Context(), path, to, false); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the backup: %v, %v; want mode 0600", info.Mode(), err)
		}
		restored := filepath.Join(t.TempDir(), "new folder", "hookferry.db")
		if _, err := Restore(t.Context(), to, restored, false, nil); err != nil {
			t.Fatal(err)
		}
		got := received(t, open(t, Config{Path: restored, Exclusive: true}).Queue("events"))
		for _, id := range before {
			if _, ok := slices.BinarySearch(got, id); !ok {
				t.Fatalf("backup %d lacks %s, which was acknowledged before it began", n, id)
			}
		}
	}
	close(stop)
	writing.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestABackupReplacesNothingUnlessTold(t *testing.T) {
	path := filled(t)
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(to, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), path, to, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if b, _ := os.ReadFile(to); string(b) != "mine" {
		t.Errorf("the file holds %.20q now", b)
	}
	if err := Backup(t.Context(), path, to, true); err != nil {
		t.Error(err)
	}
	if err := sound(t.Context(), to); err != nil {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "dangling")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := Backup(t.Context(), path, link, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a link that leads nowhere: got %v, want fs.ErrExist", err)
	}
}

func TestABackupGoesOnFromWhatAKilledOneLeft(t *testing.T) {
	path := filled(t)
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, left := range []string{sibling(to, "part"), sibling(to+"-yesterday", "lock"), sibling(to+"-yesterday", "part")} {
		if err := os.WriteFile(left, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Backup(t.Context(), path, to, false); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(to), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	held, err := lockFile(sibling(to, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	if err := Backup(t.Context(), path, to, true); !errors.Is(err, ErrInUse) {
		t.Errorf("beside another one to the same file: got %v, want ErrInUse", err)
	}
}

func TestOnlyASoundBackupIsRestored(t *testing.T) {
	backup := func(t *testing.T) string {
		to := filepath.Join(t.TempDir(), "copy.db")
		if err := Backup(t.Context(), filled(t), to, false); err != nil {
			t.Fatal(err)
		}
		return to
	}
	for name, spoil := range map[string]func(t *testing.T, from string){
		"a page of zeros": func(t *testing.T, from string) {
			edit(t, from, func(b []byte) []byte { clear(b[20*4096 : 21*4096]); return b })
		},
		"cut in half": func(t *testing.T, from string) { edit(t, from, func(b []byte) []byte { return b[:len(b)/2] }) },
		"empty":       func(t *testing.T, from string) { edit(t, from, func([]byte) []byte { return nil }) },
		"another file": func(t *testing.T, from string) {
			edit(t, from, func([]byte) []byte { return []byte(strings.Repeat("not a database ", 300)) })
		},
		"from the future": func(t *testing.T, from string) {
			edit(t, from, func(b []byte) []byte { copy(b[60:], "\x00\x00\x03\xe7"); return b })
		},
		"a copy of a file in use": func(t *testing.T, from string) {
			if err := os.WriteFile(from+"-wal", []byte("frames"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := backup(t), filled(t)
			spoil(t, from)
			before := folder(t, filepath.Dir(to))
			if _, err := Restore(t.Context(), from, to, true, nil); err == nil {
				t.Error("it was restored")
			}
			after := folder(t, filepath.Dir(to))
			delete(after, "hookferry.db.lock")
			delete(before, "hookferry.db.lock")
			if len(after) != len(before) || after["hookferry.db"] != before["hookferry.db"] {
				t.Error("the data file was changed")
			}
		})
	}
}

func TestRestoreTakesNothingFromARelayAndLosesNothing(t *testing.T) {
	from := filepath.Join(t.TempDir(), "copy.db")
	if err := Backup(t.Context(), filled(t), from, false); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hookferry.db")
	db, err := Open(t.Context(), Config{Path: path, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Queue("events").Send(t.Context(), message("of the file that is replaced")); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), from, path, true, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("under a relay: got %v, want ErrInUse", err)
	}
	// As a kill leaves it, with its log.
	killed := filepath.Join(t.TempDir(), "hookferry.db")
	for _, ending := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + ending)
		if err == nil {
			err = os.WriteFile(killed+ending, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), from, killed, false, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: got %v, want fs.ErrExist", err)
	}
	aside, err := Restore(t.Context(), from, killed, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := received(t, open(t, Config{Path: killed, Exclusive: true}).Queue("events")); len(got) != 50 {
		t.Errorf("%d messages after the restore, want the 50 of the backup alone", len(got))
	}
	if got := received(t, open(t, Config{Path: aside, Exclusive: true}).Queue("events")); len(got) != 1 {
		t.Errorf("%d messages in the file that was moved aside, want 1", len(got))
	}
}
