package egress

import (
	"net/netip"
)

// globalUnicast is the only part of IPv6 that IANA hands out to the Internet.
// What lies outside is refused without a list: loopback, IPv4-mapped and
// -compatible, NAT64, discard-only, unique-local, link-local, site-local,
// multicast, segment routing, and whatever is assigned next.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// special holds what is not an ordinary host on the Internet: for IPv4 the whole
// of the IANA special-purpose registry and multicast, for IPv6 what that registry
// has within globalUnicast. The entries that IANA marks as globally reachable
// (AS112, AMT, the services in 192.0.0.0/24 and 2001::/23) are here too: nobody
// receives webhooks there.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var special = []struct {
	prefix netip.Prefix
	kind   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "a local"},                 // RFC 791: this network
	{netip.MustParsePrefix("10.0.0.0/8"), "a private"},              // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), "a carrier-grade NAT"}, // RFC 6598; also 100.100.100.200, Alibaba's metadata
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback"},            // RFC 1122
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local"},       // RFC 3927; also 169.254.169.254, metadata
	{netip.MustParsePrefix("172.16.0.0/12"), "a private"},           // RFC 1918
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved"},           // RFC 6890; also 192.0.0.192, Oracle's metadata
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation"},      // RFC 5737: TEST-NET-1
	{netip.MustParsePrefix("192.31.196.0/24"), "a reserved"},        // RFC 7535: AS112
	{netip.MustParsePrefix("192.52.193.0/24"), "a reserved"},        // RFC 7450: AMT
	{netip.MustParsePrefix("192.88.99.0/24"), "a reserved"},         // RFC 7526: 6to4 relay anycast
	{netip.MustParsePrefix("192.168.0.0/16"), "a private"},          // RFC 1918
	{netip.MustParsePrefix("192.175.48.0/24"), "a reserved"},        // RFC 7534: AS112
	{netip.MustParsePrefix("198.18.0.0/15"), "a benchmarking"},      // RFC 2544
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation"},   // RFC 5737: TEST-NET-2
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation"},    // RFC 5737: TEST-NET-3
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast"},           // RFC 1112
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved"},            // RFC 1112; also 255.255.255.255, broadcast

	{netip.MustParsePrefix("2001::/23"), "a reserved"},          // RFC 2928: Teredo, ORCHID, benchmarking, AMT and more
	{netip.MustParsePrefix("2001:db8::/32"), "a documentation"}, // RFC 3849
	{netip.MustParsePrefix("2002::/16"), "a 6to4"},              // RFC 3056: holds any IPv4 address
	{netip.MustParsePrefix("2620:4f:8000::/48"), "a reserved"},  // RFC 7534: AS112
	{netip.MustParsePrefix("3fff::/20"), "a documentation"},     // RFC 9637

	// In no registry: the address at which Azure's platform answers its own
	// virtual machines (metadata, key exchange, DNS).
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata"},
}

// CheckAddr returns nil if addr is a public unicast address, else an error whose
// text says what it is without naming it; errors.Is(err, ErrBlocked). An
// IPv4-mapped address is refused whatever it maps to: unmap it first. With
// AllowPrivate every valid address passes.
func (p Policy) CheckAddr(addr netip.Addr) error {
	kind, ok := addressKind(addr)
	if ok || p.AllowPrivate && addr.IsValid() {
		return nil
	}
	return &blockedError{"the host is " + kind + " address, and only public ones are allowed"}
}

// addressKind says what kind of address it is, with its article, and whether
// connections to it are allowed.
func addressKind(addr netip.Addr) (kind string, ok bool) {
	if !addr.IsValid() {
		return "no", false
	}
	// A zone means a link; and no prefix contains an address with a zone.
	if addr.Zone() != "" {
		return "a link-local", false
	}
	for _, s := range special {
		if s.prefix.Contains(addr) {
			return s.kind, false
		}
	}
	if addr.Is4() || globalUnicast.Contains(addr) {
		return "a public", true
	}
	switch {
	case addr.IsLoopback():
		return "a loopback", false
	case addr.IsPrivate():
		return "a private", false
	case addr.IsLinkLocalUnicast():
		return "a link-local", false
	case addr.IsMulticast():
		return "a multicast", false
	}
	return "a reserved", false
}
