package egress

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"code.dny.dev/ssrf"
)

// ianaSpecial is the IANA IPv4 and IPv6 special-purpose address registries as of
// 2025, every row, and the ranges that other registries of IANA take out:
// multicast, site-local, IPv4-compatible, unassigned.
var ianaSpecial = []string{
	"0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32",
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",
	"224.0.0.0/4", "224.0.0.0/24", "232.0.0.0/8", "239.0.0.0/8",
	"::1/128", "::/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23",
	"2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48",
	"2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	"5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "::/96", "::/8", "200::/7", "400::/6", "800::/5",
	"1000::/4", "4000::/3", "6000::/3", "8000::/3", "a000::/3", "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9",
}

// ends returns the first and last address of a prefix and some between.
func ends(p netip.Prefix, r *rand.Rand) []netip.Addr {
	at := func(fill func(i int) byte) netip.Addr {
		b := p.Masked().Addr().AsSlice()
		for i := range b {
			bits := min(max(p.Bits()-8*i, 0), 8)
			b[i] |= fill(i) & (0xff >> bits)
		}
		a, _ := netip.AddrFromSlice(b)
		return a
	}
	addrs := []netip.Addr{p.Masked().Addr(), at(func(int) byte { return 0xff })}
	for range 20 {
		addrs = append(addrs, at(func(int) byte { return byte(r.Uint32()) }))
	}
	return addrs
}

func TestNoSpecialPurposeAddressPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, text := range ianaSpecial {
		for _, addr := range ends(netip.MustParsePrefix(text), r) {
			err := Policy{}.CheckAddr(addr)
			if !errors.Is(err, ErrBlocked) {
				t.Errorf("%s of %s: got %v, want a refusal", addr, text, err)
			} else if strings.Contains(err.Error(), addr.String()) {
				t.Errorf("%s: the message names it: %v", addr, err)
			}
			if err := (Policy{AllowPrivate: true}).CheckAddr(addr); err != nil {
				t.Errorf("%s with AllowPrivate: %v", addr, err)
			}
		}
	}
	for _, addr := range []netip.Addr{
		{},
		netip.MustParseAddr("2606:4700::1111%eth0"), netip.MustParseAddr("fe80::1%1"), netip.MustParseAddr("::ffff:8.8.8.8"),
		netip.MustParseAddr("168.63.129.16"),
	} {
		if err := (Policy{}).CheckAddr(addr); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: got %v, want a refusal", addr, err)
		}
	}
	if err := (Policy{AllowPrivate: true}).CheckAddr(netip.Addr{}); err == nil {
		t.Error("the zero address passed with AllowPrivate")
	}
}

// code.dny.dev/ssrf has its own table, generated from IANA's registries. Both
// must give the same answer everywhere: at the ends of every prefix of either,
// one beside them, and all over.
func TestAddressesAgreeWithAnIndependentTable(t *testing.T) {
	guard := ssrf.New(ssrf.WithAnyNetwork(), ssrf.WithAnyPort(),
		ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")))
	r := rand.New(rand.NewPCG(3, 4))
	var addrs []netip.Addr
	around := func(p netip.Prefix) {
		e := ends(p, r)
		addrs = append(addrs, e...)
		addrs = append(addrs, e[0].Prev(), e[1].Next())
	}
	for _, s := range special {
		around(s.prefix)
	}
	for _, p := range append(append([]netip.Prefix{globalUnicast}, ssrf.IPv4DeniedPrefixes...), ssrf.IPv6DeniedPrefixes...) {
		around(p)
	}
	for range 20_000 {
		var v4 [4]byte
		var v6 [16]byte
		for i := range v6 {
			v6[i] = byte(r.Uint32())
		}
		copy(v4[:], v6[4:])
		addrs = append(addrs, netip.AddrFrom4(v4), netip.AddrFrom16(v6))
		v6[0] = 0x20 | v6[0]&0x1f
		addrs = append(addrs, netip.AddrFrom16(v6))
	}
	passed := 0
	for _, addr := range addrs {
		if !addr.IsValid() {
			continue // beside the first or last address of all
		}
		ours, theirs := Policy{}.CheckAddr(addr), guard.SafeAddr(addr)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("%s: ours %v, theirs %v", addr, ours, theirs)
		}
		if ours == nil {
			passed++
		}
	}
	if passed < len(addrs)/4 {
		t.Errorf("only %d of %d addresses passed: the test shows nothing", passed, len(addrs))
	}
}
