package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// moveUnlessThere renames a file if nothing has the new name, in one step.
func moveUnlessThere(from, to string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
