package awsruntime

import (
	"net"
	"net/http"
	"sync"
	"time"

	"hookferry/shared/bounds"
)

const (
	// thawAfter is how long a connection to AWS may have been idle. A function is
	// frozen between two invocations, and what happened to its connections
	// meanwhile shows only when a request on one is not answered: that costs
	// answerTimeout once, and each fresh connection a TLS handshake. So a quiet
	// function keeps them for as long as AWS's own servers usually do.
	thawAfter = 3 * time.Minute
	// answerTimeout is how long an answer may take: the SDK then asks again, on
	// another connection. Nothing here is a long poll.
	answerTimeout = bounds.Answer
	connTimeout   = bounds.Connect
	// connsPerHost is how many requests one invocation has on the way.
	connsPerHost = 128
)

// A client is the SDK's HTTP client: HTTP/1.1 with timeouts for single steps,
// which the SDK's own has not, and without the connections that may have died
// while the process was frozen. It is safe for concurrent use.
type client struct {
	http      http.Client
	transport *http.Transport
	now       func() time.Time

	mu   sync.Mutex
	used time.Time
}

func newClient(now func() time.Time) *client {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connTimeout}).DialContext,
		TLSHandshakeTimeout:   connTimeout,
		ResponseHeaderTimeout: answerTimeout,
		MaxIdleConns:          2 * connsPerHost,
		MaxIdleConnsPerHost:   connsPerHost,
		IdleConnTimeout:       thawAfter,
		Protocols:             new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	c := &client{transport: t, now: now}
	c.http.Transport = t
	// AWS redirects nobody that asks the right host.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// Do makes a request.
func (c *client) Do(req *http.Request) (*http.Response, error) {
	c.thaw()
	return c.http.Do(req)
}

// thaw closes idle connections when none was used for thawAfter of wall clock,
// the one that goes on while a process is frozen.
func (c *client) thaw() {
	now := c.now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.used.IsZero() && now.Sub(c.used) > thawAfter {
		c.transport.CloseIdleConnections()
	}
	c.used = now
}
