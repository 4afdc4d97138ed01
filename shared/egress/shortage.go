package egress

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// ErrShortage is what an error wraps that is no destination's fault: this
// process or machine has run out of files, ports, buffers or memory. A call that
// fails with it was never made, and says nothing about the endpoint.
var ErrShortage = errors.New("this machine is short of files, ports or memory")

var shortages = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}

// shortageOf reports whether err says that we have run out of something, and not
// that a destination cannot be reached. ipv6 says whether it was on the way to
// an IPv6 address.
func shortageOf(err error, ipv6 bool) bool {
	for _, errno := range shortages {
		if errors.Is(err, errno) {
			return true
		}
	}
	// The resolver keeps only the text of what its own sockets met.
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		for _, errno := range append(shortages, syscall.EADDRNOTAVAIL) {
			if strings.Contains(dns.Err, errno.Error()) {
				return true
			}
		}
	}
	// No free port; or, on a machine without IPv6, no address to call from.
	return errors.Is(err, syscall.EADDRNOTAVAIL) && (!ipv6 || hasIPv6())
}

// hasIPv6 reports whether the machine has an IPv6 address that it can call from.
func hasIPv6() bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast() {
			return true
		}
	}
	return false
}

// short marks an error as a shortage of ours.
type short struct{ err error }

func (s *short) Error() string   { return ErrShortage.Error() + ": " + s.err.Error() }
func (s *short) Unwrap() []error { return []error{ErrShortage, s.err} }
