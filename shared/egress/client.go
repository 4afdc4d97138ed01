package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// Bounds of what one client keeps and reads.
const (
	// MaxHeaderBytes is the most that the header of an answer may have.
	MaxHeaderBytes = 64 << 10
	// MaxIdlePerHost is how many idle connections to one host are kept; it is
	// the number of calls that one invocation has in flight.
	MaxIdlePerHost = 128
	// MaxIdle is how many idle connections are kept in all.
	MaxIdle = 512

	idleTimeout = 30 * time.Second
	thawAfter   = 5 * time.Second
)

// Config says how a Client behaves. Zero values mean the defaults.
type Config struct {
	Policy

	// ConnectTimeout is how long a connection may take, from looking up the
	// name to the end of the TLS handshake. 3 s.
	ConnectTimeout time.Duration
	// Timeout is how long a call may take, reading the answer's body included.
	// 10 s.
	Timeout time.Duration
	// MaxConnAge is how old a connection may be when a call is put on it. 60 s.
	MaxConnAge time.Duration
	// MaxIdle is how many idle connections are kept in all. 512.
	MaxIdle int
	// Resolver looks a name up. nil: net.DefaultResolver, without its search
	// domains unless AllowPrivate.
	Resolver func(ctx context.Context, host string) ([]netip.Addr, error)
	// RootCAs are the authorities that servers' certificates are checked
	// against. nil: the system's.
	RootCAs *x509.CertPool
	// Now is the clock for ages, not for timeouts. nil: time.Now.
	Now func() time.Time
}

// A Client makes calls that keep its Policy. It is safe for concurrent use.
type Client struct {
	cfg Config
	tls *tls.Config
	// dialContext connects to an address; in tests, to another one.
	dialContext func(ctx context.Context, network, address string) (net.Conn, error)

	pool *pool

	mu   sync.Mutex
	used time.Time
}

// New returns a Client. It reads the system's certificate authorities, which
// takes some milliseconds of CPU, so that the first call need not.
func New(cfg Config) *Client {
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = 3 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.MaxConnAge <= 0 {
		cfg.MaxConnAge = time.Minute
	}
	if cfg.MaxIdle <= 0 {
		cfg.MaxIdle = MaxIdle
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Resolver == nil {
		cfg.Resolver = systemResolver(cfg.AllowPrivate)
	}
	if cfg.RootCAs == nil {
		// Without them the handshake reports the cause again.
		cfg.RootCAs, _ = x509.SystemCertPool()
	}
	c := &Client{cfg: cfg, pool: newPool(cfg.MaxIdle, min(cfg.MaxIdle, MaxIdlePerHost))}
	c.tls = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            cfg.RootCAs,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(MaxIdle),
	}
	c.dialContext = (&net.Dialer{Control: c.control}).DialContext
	return c
}

// Do makes a call and returns the answer, whatever its status: a redirect is not
// followed, and one to another protocol has no body. The caller reads a bounded
// part of the body and closes it. Timeout runs until the body is closed. Classify
// says what an error means, also one of reading the body; one that wraps
// ErrShortage says nothing about the destination.
//
// A connection is kept for the next call of the same owner (see WithOwner) only
// after a 2xx whose body was read to an end that the answer itself names, with
// nothing beyond it. If a kept connection turns out to be dead before anything of
// an answer came, the request is sent once more, on a new connection, provided
// that it has no body or GetBody (http.NewRequest sets it for the usual readers).
// So one call writes at most two requests.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if err := c.cfg.CheckURL(req.URL.String()); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), c.cfg.Timeout)
	c.touch()
	owner, _ := ctx.Value(ownerKey{}).(string)
	resp, err := c.exchange(ctx, connKey{owner, req.URL.Scheme, hostport(req.URL)}, req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode < 100 {
		resp.Body.Close()
		cancel()
		return nil, errStatus
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// Its body is whatever the other protocol says, without an end.
		resp.Body.Close()
		resp.Body = http.NoBody
	}
	resp.Body = &cancelling{resp.Body, cancel}
	return resp, nil
}

// cancelling ends the call's context when the body is closed.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelling) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

type ownerKey struct{}

// WithOwner returns a context for the calls of one owner: no connection is ever
// shared by two of them.
func WithOwner(ctx context.Context, owner string) context.Context {
	return context.WithValue(ctx, ownerKey{}, owner)
}

func hostport(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Thaw is called at the start of each invocation of a function that may have
// been frozen before: when the client was last used more than 5 s ago, by the
// wall clock, idle connections are presumed dead and closed.
func (c *Client) Thaw(now time.Time) {
	now = now.Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.used) > thawAfter {
		c.pool.closeIdle()
	}
	c.used = now
}

// touch notes that the client is in use.
func (c *Client) touch() {
	now := c.wall()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = now
}

// CloseIdle closes the connections that are not in use.
func (c *Client) CloseIdle() { c.pool.closeIdle() }

func systemResolver(search bool) func(context.Context, string) ([]netip.Addr, error) {
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		if !search {
			host += "." // else the machine's search domains are tried as well
		}
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
}

var (
	errNoAddress = errors.New("the name has no address")
	errStatus    = errors.New("the answer's status is below 100")
)
