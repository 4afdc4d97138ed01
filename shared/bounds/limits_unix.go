//go:build linux || darwin

package bounds

import "syscall"

// FileLimit returns how many files this process may have open, or 0 if that is
// not known.
func FileLimit() uint64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return r.Cur
}
