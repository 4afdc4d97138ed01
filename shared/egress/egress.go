// Package egress is the only way out: the rules for the URLs that Hookferry may
// call (contract section 4) and the HTTP client that keeps them at every
// connection.
//
// A Policy says what is allowed; its CheckURL is for when a URL is set. A Client
// checks the URL again, resolves the name, checks every address that the
// resolver answers, and connects to a checked address itself, so that between
// check and connection nothing is looked up twice: a name that changes its
// answer gets nothing. It follows no redirect, knows no proxy, speaks HTTP/1.1
// alone, and bounds what it waits for and reads.
//
// The addresses are a table of our own of about 25 lines (address.go), because
// that is less to audit than what would still be needed around a library: of
// IPv6 only 2000::/3 can pass, less five prefixes; of IPv4 the IANA registry is
// refused. code.dny.dev/ssrf has the same prefixes and serves as the second
// opinion in the tests, but lets the zero address pass, cannot say to a client
// what was wrong, and its Control hook sees one address at a time, where one bad
// answer must refuse all.
//
// On an IPv6-only network that reaches IPv4 through NAT64 and DNS64 every
// IPv4-only destination is refused, because its addresses are NAT64's.
package egress

import (
	"errors"
)

// A Policy says which URLs and addresses may be called. The zero Policy is the
// strict one.
type Policy struct {
	// AllowPrivate also allows http, every port, local names and all addresses:
	// for trying things on one's own machine. Credentials, fragments and
	// characters that have no place in a URL stay refused.
	AllowPrivate bool
}

// ErrBlocked is what every refusal of a URL or an address wraps.
var ErrBlocked = errors.New("destination is not allowed")

// A blockedError is a refusal. Its text is safe for clients: it says what kind
// of address was refused and never which.
type blockedError struct{ reason string }

func (e *blockedError) Error() string { return e.reason }

func (e *blockedError) Unwrap() error { return ErrBlocked }
