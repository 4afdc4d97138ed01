package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Bounds of what a resolver's answer can make us do.
const (
	maxAnswers = 256 // more addresses than that refuse the host
	maxDials   = 4   // addresses that are tried
)

// A step is where in making a connection an error came from.
type step string

const (
	stepResolve   step = "resolve"
	stepConnect   step = "connect"
	stepHandshake step = "tls handshake"
)

type stepError struct {
	step step
	err  error
}

func (e *stepError) Error() string { return string(e.step) + ": " + e.err.Error() }

func (e *stepError) Unwrap() error { return e.err }

// dialTLS connects to a checked address of a host and makes the TLS handshake. It
// returns the connection, and the one below it.
func (c *Client) dialTLS(ctx context.Context, hostport string) (conn, raw net.Conn, err error) {
	raw, err = c.connect(ctx, hostport)
	if err != nil {
		return nil, nil, err
	}
	cfg := c.tls.Clone()
	cfg.ServerName, _, _ = net.SplitHostPort(hostport)
	secured := tls.Client(raw, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, &stepError{stepHandshake, err}
	}
	return secured, raw, nil
}

// connect connects to a checked address of a host.
func (c *Client) connect(ctx context.Context, hostport string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", hostport, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", hostport, err)
	}
	addrs, err := c.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs = alternate(addrs)
	addrs = addrs[:min(len(addrs), maxDials)]
	var worst error
	for i, addr := range addrs {
		conn, err := c.dialOne(ctx, netip.AddrPortFrom(addr, uint16(port)), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		if shortageOf(err, addr.Is6()) {
			return nil, &short{err}
		}
		// A machine without IPv6 says so at once; what IPv4 met tells more.
		if worst == nil || errors.Is(worst, syscall.ENETUNREACH) {
			worst = err
		}
		if ctx.Err() != nil || errors.Is(err, ErrBlocked) {
			break
		}
	}
	return nil, &stepError{stepConnect, worst}
}

// alternate orders addresses so that IPv4 and IPv6 take turns, beginning with
// the resolver's first: one family that leads nowhere does not use up the tries.
func alternate(addrs []netip.Addr) []netip.Addr {
	ordered := make([]netip.Addr, 0, len(addrs))
	var other []netip.Addr
	for _, addr := range addrs {
		if addr.Is4() == addrs[0].Is4() {
			ordered = append(ordered, addr)
		} else {
			other = append(other, addr)
		}
	}
	for i, addr := range other {
		ordered = slices.Insert(ordered, min(2*i+1, len(ordered)), addr)
	}
	return ordered
}

// resolve returns the host's addresses, all of them checked, or an error if it
// has none or a single one is not allowed.
func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs := []netip.Addr{}
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, addr)
	} else {
		if addrs, err = c.cfg.Resolver(ctx, host); err != nil {
			if shortageOf(err, false) {
				return nil, &short{err}
			}
			return nil, &stepError{stepResolve, err}
		}
		if len(addrs) == 0 {
			return nil, &stepError{stepResolve, errNoAddress}
		}
		if len(addrs) > maxAnswers {
			return nil, refuse("the host has more than %d addresses", maxAnswers)
		}
	}
	checked := make([]netip.Addr, len(addrs))
	for i, addr := range addrs {
		// The standard resolver gives IPv4 addresses in their mapped form.
		checked[i] = addr.Unmap()
		if err := c.cfg.CheckAddr(checked[i]); err != nil {
			return nil, err
		}
	}
	return checked, nil
}

// dialOne tries one address, with its share of the time that is left for this
// and the others that remain.
func (c *Client) dialOne(ctx context.Context, addr netip.AddrPort, remaining int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && remaining > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(remaining))
		defer cancel()
	}
	return c.dialContext(ctx, "tcp", addr.String())
}

// control runs on every socket right before it connects: whatever came before,
// an address that is not allowed is not connected to.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse("the address cannot be read")
	}
	return c.cfg.CheckAddr(addr.Addr().Unmap())
}
