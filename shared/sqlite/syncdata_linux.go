package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes what is in a file durable, and of what is known about the file
// only what is needed to read it: a log that is written over and over keeps its
// size, and its times do not matter.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
