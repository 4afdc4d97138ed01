//go:build !linux && !darwin

package bounds

// FileLimit returns 0: the system sets no limit that is known.
func FileLimit() uint64 { return 0 }
