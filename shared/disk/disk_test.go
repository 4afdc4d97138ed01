package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func refusing(err error) func(from, to string) error {
	return func(from, to string) error {
		return &os.LinkError{Op: "place", Old: from, New: to, Err: err}
	}
}

func TestPlacing(t *testing.T) {
	for name, ways := range map[string][]func(from, to string) error{
		"by a rename":                {moveUnlessThere, refusing(syscall.EPERM)},
		"by a link":                  {refusing(syscall.EINVAL), os.Link},
		"on a kernel without either": {refusing(syscall.ENOSYS), refusing(syscall.EPERM)},
		"on a disk without either":   {refusing(syscall.EINVAL), refusing(errors.ErrUnsupported)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, to := filepath.Join(dir, "new"), filepath.Join(dir, "file")
			if err := os.WriteFile(from, []byte("whole"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := placeBy(from, to, ways...)
			if strings.HasSuffix(name, "either") {
				if err == nil || !strings.Contains(err.Error(), "choose a folder on another one") || !strings.Contains(err.Error(), dir) {
					t.Errorf("got %v, want a sentence that says what to do", err)
				}
				if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("something was made: %v", err)
				}
				return
			}
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip("this system has no such rename")
			}
			if b, rerr := os.ReadFile(to); err != nil || string(b) != "whole" {
				t.Fatalf("%q, %v, %v", b, err, rerr)
			}
			// What is there stays. The first name may be the same file still.
			os.Remove(from)
			if err := os.WriteFile(from, []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := placeBy(from, to, ways...); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over a file: got %v, want fs.ErrExist", err)
			}
			if b, err := os.ReadFile(to); err != nil || string(b) != "whole" {
				t.Errorf("the file holds %q now, %v", b, err)
			}
		})
	}
}

func TestOfManyThatCreateOneWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var made atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			switch err := Create(path, []byte(strings.Repeat(fmt.Sprintf("%02d", i), 5000))); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	all.Wait()
	b, err := os.ReadFile(path)
	if err != nil || made.Load() != 1 || strings.Repeat(string(b[:2]), 5000) != string(b) {
		t.Errorf("%d made it, %v", made.Load(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := Replace(path, []byte("new")); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "new" {
		t.Errorf("replaced with %q, %v", b, err)
	}
}
