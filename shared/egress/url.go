package egress

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MaxURL is the most characters that a URL may have.
const MaxURL = 2048

// localNames are the names, each with everything under it, that are not on the
// public Internet: the special-use names of RFC 6761 and its successors, those
// that ICANN keeps from delegation because networks use them inside, and arpa,
// which holds infrastructure alone. example is not among them: it resolves to
// nothing.
var localNames = []string{
	"localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "mail",
	"arpa", "invalid", "test", "onion", "alt",
}

// CheckURL returns nil if raw may be the URL of an endpoint (contract section 4),
// else an error: a sentence for the client that says what to change;
// errors.Is(err, ErrBlocked). It resolves nothing: what a name resolves to is
// checked at every connection. With AllowPrivate, http, every port, and local
// names and addresses pass too.
func (p Policy) CheckURL(raw string) error {
	if raw == "" {
		return refuse("the URL is empty")
	}
	if len(raw) > MaxURL {
		return refuse("the URL is longer than %d characters", MaxURL)
	}
	if err := checkCharacters(raw); err != nil {
		return err
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !p.allowsScheme(scheme) {
		if p.AllowPrivate {
			return refuse("the URL must begin with https:// or http://")
		}
		return refuse("the URL must begin with https://")
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority = rest[:i]
	}
	host, port, err := splitAuthority(authority)
	if err != nil {
		return err
	}
	if err := p.checkPort(port); err != nil {
		return err
	}
	if err := p.checkHost(host); err != nil {
		return err
	}
	// The client reads the URL with net/url. Were it to see another host than
	// was checked here, that is refused as well.
	u, err := url.Parse(raw)
	if err != nil || u.Host != authority || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return refuse("the URL is malformed")
	}
	// Do checks it as the client writes it, with what net/url escapes.
	if len(u.String()) > MaxURL {
		return refuse("the URL is longer than %d characters with what must be percent-encoded", MaxURL)
	}
	return nil
}

// checkCharacters leaves printable ASCII, without what has no place in a URL or
// that programs read in different ways.
func checkCharacters(raw string) error {
	for _, r := range raw {
		switch {
		case r == '#':
			return refuse("the URL must not have a fragment (#)")
		case r == '\\':
			return refuse("the URL must not have a backslash")
		case r == ' ':
			return refuse("the URL must not have a space")
		case r < 0x20 || r == 0x7f:
			return refuse("the URL must not have a control character")
		case r > 0x7f:
			return refuse("the URL must be ASCII: write an international name in its xn-- form, and the rest percent-encoded")
		}
	}
	return nil
}

func (p Policy) allowsScheme(scheme string) bool {
	return strings.EqualFold(scheme, "https") || p.AllowPrivate && strings.EqualFold(scheme, "http")
}

// splitAuthority returns the host, in brackets if it is written so, and the
// port, empty if there is none.
func splitAuthority(authority string) (host, port string, err error) {
	if strings.Contains(authority, "@") {
		return "", "", refuse("the URL must not have credentials")
	}
	if strings.Contains(authority, "%") {
		return "", "", refuse("the URL's host must not have a percent sign")
	}
	end := strings.LastIndexByte(authority, ']')
	i := strings.IndexByte(authority[end+1:], ':')
	if i < 0 {
		return authority, "", nil
	}
	host, port = authority[:end+1+i], authority[end+1+i+1:]
	if port == "" {
		return "", "", refuse("the URL's port is empty")
	}
	return host, port, nil
}

func (p Policy) checkPort(port string) error {
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' {
		return refuse("the URL's port is not a number from 1 to 65535")
	}
	if n != 443 && n < 1024 && !p.AllowPrivate {
		return refuse("the URL's port must be 443 or from 1024 to 65535")
	}
	return nil
}

func (p Policy) checkHost(host string) error {
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if err != nil || !addr.Is6() || !strings.HasSuffix(host, "]") {
			return refuse("the URL's host is not an IPv6 address")
		}
		if addr.Is4In6() {
			return refuse("the URL's host is an IPv4-mapped address: write it as an IPv4 address")
		}
		return p.CheckAddr(addr)
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		return p.CheckAddr(addr)
	}
	return p.checkName(host)
}

// checkName takes names of letters, digits, hyphens and underscores whose last
// label is not a number: other programs read such a name as an IPv4 address.
func (p Policy) checkName(name string) error {
	if name == "" {
		return refuse("the URL has no host")
	}
	if len(name) > 253 {
		return refuse("the URL's host name is longer than 253 characters")
	}
	if strings.HasSuffix(name, ".") {
		return refuse("the URL's host name must not end with a dot")
	}
	labels := strings.Split(strings.ToLower(name), ".")
	for _, label := range labels {
		if !validLabel(label) {
			return refuse("the URL's host is not a valid name")
		}
	}
	last := labels[len(labels)-1]
	if isNumber(last) {
		return refuse("the URL's host is a number: write an IPv4 address as four decimal numbers without leading zeros")
	}
	if p.AllowPrivate {
		return nil
	}
	if len(labels) == 1 {
		return refuse("the URL's host must be a full domain name")
	}
	for _, local := range localNames {
		if last == local {
			return refuse("the URL's host is a local name (.%s), and only public ones are allowed", local)
		}
	}
	return nil
}

func validLabel(label string) bool {
	if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isNumber reports whether programs that take IPv4 addresses in one to four
// parts, decimal, octal or hexadecimal, would read a name that ends in the label
// as one (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func isNumber(label string) bool {
	digits, set := label, "0123456789"
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		digits, set = rest, "0123456789abcdef"
	}
	return strings.Trim(digits, set) == ""
}

func refuse(format string, args ...any) error {
	return &blockedError{fmt.Sprintf(format, args...)}
}
