//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// fileLock is held until it is released or the process ends, however it ends.
type fileLock struct{ f *os.File }

// lockFile takes the lock, or returns ErrInUse. The file stays when the lock is
// released: removing it would let two processes lock two files of one name.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		by := make([]byte, 32)
		n, _ := f.ReadAt(by, 0)
		return nil, fmt.Errorf("%w (process %s); stop that one, or use another folder", ErrInUse, strings.TrimSpace(string(by[:n])))
	}
	// For the message above alone, so its errors mean nothing.
	_ = f.Truncate(0)
	fmt.Fprintf(f, "%d\n", os.Getpid())
	return &fileLock{f}, nil
}

func (l *fileLock) release() {
	if l != nil {
		l.f.Close()
	}
}
