//go:build !linux

package disk

import "errors"

// moveUnlessThere is not to be had on this system.
func moveUnlessThere(_, _ string) error { return errors.ErrUnsupported }
