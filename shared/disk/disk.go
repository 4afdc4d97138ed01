// Package disk puts files in their places so that nobody ever sees half of one.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes a file of mode 0600 at path, in the place of one that may be
// there. A crash leaves the old file or the new one, whole.
func Replace(path string, b []byte) error { return write(path, b, os.Rename) }

// Create writes a file of mode 0600 at path, whole or not at all. Where a file is
// already it changes nothing and returns an error that is fs.ErrExist, so that of
// several processes that create one file at the same time one wins.
func Create(path string, b []byte) error { return write(path, b, Place) }

func write(path string, b []byte, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // not there any more if it was renamed
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = place(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Place moves the finished file from to the name to, in the same folder, unless a
// file of that name is there; the error is fs.ErrExist then. The name from may
// remain: the caller removes it. Where the file system has neither of the ways to
// do this in one step, the error says what to do.
func Place(from, to string) error { return placeBy(from, to, moveUnlessThere, os.Link) }

// placeBy tries the ways in their order. One that the file system does not know
// fails without having done anything.
func placeBy(from, to string, ways ...func(from, to string) error) error {
	var errs []error
	for _, way := range ways {
		err := way(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("the file system of %s can neither rename a file without replacing another nor make hard links; "+
		"choose a folder on another one, like a disk of this machine: %w", filepath.Dir(to), errors.Join(errs...))
}
