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

	mu        sync.Mutex
	transport *http.Transport // replaced when it is MaxConnAge old
	born      time.Time
	used      time.Time
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
	c := &Client{cfg: cfg}
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
// part of the body and closes it; a body read to its end keeps the connection for
// the next call. Timeout runs until the body is closed. Classify says what an
// error means, also one of reading the body.
//
// A connection that the server has closed meanwhile, or that died while the
// process was frozen, is replaced and the request sent again if it can be
// repeated: it has GetBody (http.NewRequest sets it for the usual readers) and,
// unless its method is idempotent, an Idempotency-Key header, which is not sent
// when its value is nil: req.Header["Idempotency-Key"] = nil.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if err := c.cfg.CheckURL(req.URL.String()); err != nil {
		if req.Body != nil {
			req.Body.Close() // as the transport would
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), c.cfg.Timeout)
	resp, err := c.current().RoundTrip(req.WithContext(ctx))
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
		// Its body is the connection itself, which the transport has let go of: no
		// deadline would end a read of it.
		resp.Body.Close()
		resp.Body = http.NoBody
	}
	resp.Body = &body{resp.Body, cancel}
	return resp, nil
}

// body ends the call's context when the body is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

// Thaw is called at the start of each invocation of a function that may have
// been frozen before: when the client was last used more than 5 s ago, by the
// wall clock, idle connections are presumed dead and closed.
func (c *Client) Thaw(now time.Time) {
	now = now.Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil && now.Sub(c.used) > thawAfter {
		c.transport.CloseIdleConnections()
	}
	c.used = now
}

// CloseIdle closes the connections that are not in use.
func (c *Client) CloseIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// current returns the transport for a call. One that has reached MaxConnAge is
// retired with its connections: idle ones close now, those in use when their
// call ends, because a transport whose idle connections were closed keeps none
// until it gets another call. So no call is put on a connection older than that.
func (c *Client) current() *http.Transport {
	// Round strips the monotonic clock, which stands still in a frozen process.
	now := c.cfg.Now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.born); c.transport == nil || age >= c.cfg.MaxConnAge || age < 0 {
		if c.transport != nil {
			c.transport.CloseIdleConnections()
		}
		c.transport, c.born = c.newTransport(), now
	}
	c.used = now
	return c.transport
}

func (c *Client) newTransport() *http.Transport {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // none, whatever the environment says
		DialContext:            c.dial,
		DialTLSContext:         c.dialTLS,
		Protocols:              &http1,
		DisableCompression:     true,
		MaxIdleConns:           MaxIdle,
		MaxIdleConnsPerHost:    MaxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: MaxHeaderBytes,
	}
}

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
