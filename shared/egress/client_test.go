package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

var publicAddr = netip.MustParseAddr("93.184.215.14")

// resolverOf answers every name with these addresses.
func resolverOf(addrs ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		var parsed []netip.Addr
		for _, a := range addrs {
			parsed = append(parsed, netip.MustParseAddr(a))
		}
		return parsed, nil
	}
}

// wire takes a client's connections to one local address, whatever address they
// are for, and keeps those.
type wire struct {
	mu     sync.Mutex
	dialed []string
}

func (w *wire) attach(c *Client, local net.Addr) {
	var d net.Dialer
	c.dialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		w.mu.Lock()
		w.dialed = append(w.dialed, address)
		w.mu.Unlock()
		return d.DialContext(ctx, network, local.String())
	}
}

func rootsOf(srv *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

// countingServer counts the connections that are made to it.
func countingServer(t *testing.T, secure bool, h http.HandlerFunc) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	if secure {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv, &conns
}

func post(t *testing.T, c *Client, url, body string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	time.Sleep(settle + settle/5) // a connection that was kept rests before its next call
	return resp, string(b), err
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Write(b)
}

// portOf turns the server's address into a URL of example.com, which the test
// server's certificate is for.
func portOf(srv *httptest.Server) string {
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	return "https://example.com:" + port + "/"
}

func TestOnlyTheCheckedAddressIsDialled(t *testing.T) {
	srv, _ := countingServer(t, true, echo)
	var lookups []string
	answers := [][]netip.Addr{{publicAddr}, {netip.MustParseAddr("127.0.0.1")}, {netip.MustParseAddr("::ffff:8.8.8.8")}}
	c := New(Config{RootCAs: rootsOf(srv), Resolver: func(_ context.Context, host string) ([]netip.Addr, error) {
		lookups = append(lookups, host)
		return answers[len(lookups)-1], nil
	}})
	var w wire
	w.attach(c, srv.Listener.Addr())

	url := "https://example.com/hook"
	if _, got, err := post(t, c, url, "hello"); err != nil || got != "hello" {
		t.Fatalf("first answer public: got %q, %v", got, err)
	}
	c.CloseIdle() // the next call needs a connection, and looks up again
	_, _, err := post(t, c, url, "hello")
	if code, msg := Classify(err); code != relay.CodeAddressBlocked || !errors.Is(err, ErrBlocked) ||
		msg != "The host is a loopback address, and only public ones are allowed." {
		t.Errorf("second answer private: got %v, %s, %s", err, code, msg)
	}
	// Mapped is how Go's resolver writes IPv4 addresses.
	if _, _, err := post(t, c, url, "hello"); err != nil {
		t.Errorf("third answer mapped and public: %v", err)
	}
	if diff := cmp.Diff([]string{"example.com", "example.com", "example.com"}, lookups); diff != "" {
		t.Error("lookups:", diff)
	}
	if diff := cmp.Diff([]string{publicAddr.String() + ":443", "8.8.8.8:443"}, w.dialed); diff != "" {
		t.Error("dialled:", diff)
	}
}

func TestOneBadAnswerRefusesAll(t *testing.T) {
	many := make([]string, maxAnswers+1)
	for i := range many {
		many[i] = publicAddr.String()
	}
	for _, answers := range [][]string{
		{"93.184.215.14", "10.0.0.1"},
		{"10.0.0.1", "93.184.215.14"},
		{"93.184.215.14", "2606:4700::1", "::1"},
		{"93.184.215.14", "::ffff:127.0.0.1"},
		{"64:ff9b::7f00:1"},
		{"fe80::1%eth0"},
		{"0.0.0.0"},
		{"169.254.169.254"},
		many,
	} {
		c := New(Config{Resolver: resolverOf(answers...)})
		var w wire
		w.attach(c, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
		_, _, err := post(t, c, "https://example.com/", "x")
		if code, _ := Classify(err); code != relay.CodeAddressBlocked || len(w.dialed) != 0 {
			t.Errorf("%.60v: got %v, %s, dialled %v", answers, err, code, w.dialed)
		}
	}
}

// Even if all before it failed, the socket itself does not connect.
func TestTheSocketRefusesWhatIsNotAllowed(t *testing.T) {
	srv, conns := countingServer(t, false, echo)
	c := New(Config{})
	conn, err := c.dialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if !errors.Is(err, ErrBlocked) || conn != nil || conns.Load() != 0 {
		t.Errorf("got %v, %v, %d connections", conn, err, conns.Load())
	}
	if code, msg := Classify(&stepError{stepConnect, err}); code != relay.CodeAddressBlocked || strings.Contains(msg, "127") {
		t.Errorf("got %s, %s", code, msg)
	}
}

// An endpoint that was set where everything is allowed is not called where it is
// not, although its name leads to a public address.
func TestDoChecksTheURLAgain(t *testing.T) {
	srv, conns := countingServer(t, false, echo)
	for _, url := range []string{"http://example.com/", "http://localhost/", "http://example.com:8080/", "http://user:pw@example.com/"} {
		c := New(Config{Resolver: resolverOf("93.184.215.14")})
		var w wire
		w.attach(c, srv.Listener.Addr())
		_, _, err := post(t, c, url, "x")
		if code, _ := Classify(err); code != relay.CodeAddressBlocked || len(w.dialed) != 0 {
			t.Errorf("%s: got %v, %s, dialled %v", url, err, code, w.dialed)
		}
	}
	if n := conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestRedirectsAreReturnedAsTheyAre(t *testing.T) {
	srv, _ := countingServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/target" {
			t.Error("a redirect was followed")
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		var code int
		fmt.Sscan(r.URL.Path[1:], &code)
		w.WriteHeader(code)
		io.WriteString(w, "moved")
	})
	c := New(Config{Policy: Policy{AllowPrivate: true}, RootCAs: rootsOf(srv)})
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"/target", "http://169.254.169.254/", "http://%zz", "://"} {
			resp, body, err := post(t, c, fmt.Sprintf("%s/%d?to=%s", srv.URL, code, strings.ReplaceAll(to, "%", "%25")), "x")
			if err != nil || resp.StatusCode != code || body != "moved" || resp.Header.Get("Location") != to {
				t.Errorf("%d to %s: got %v, %q, %v", code, to, resp, body, err)
			}
		}
	}
}

func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	proxy, proxied := countingServer(t, false, echo)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	srv, _ := countingServer(t, true, echo)
	c := New(Config{Policy: Policy{AllowPrivate: true}, RootCAs: rootsOf(srv), Resolver: resolverOf("127.0.0.1")})
	if _, got, err := post(t, c, portOf(srv), "direct"); err != nil || got != "direct" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := proxied.Load(); n != 0 {
		t.Errorf("the proxy got %d connections", n)
	}
	// The environment does name a proxy for this call, or the test shows nothing.
	req, _ := http.NewRequest(http.MethodPost, portOf(srv), nil)
	if u, err := http.ProxyFromEnvironment(req); err != nil || u == nil {
		t.Errorf("the environment names no proxy: %v, %v", u, err)
	}
}

func TestCallsSpeakPlainHTTP1(t *testing.T) {
	var seen http.Header
	srv, _ := countingServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "as it is")
	})
	c := New(Config{Policy: Policy{AllowPrivate: true}, RootCAs: rootsOf(srv)})
	resp, body, err := post(t, c, srv.URL, "x")
	if err != nil || resp.Proto != "HTTP/1.1" || body != "as it is" {
		t.Fatalf("got %v, %q, %v", resp, body, err)
	}
	for _, name := range []string{"Idempotency-Key", "Accept-Encoding", "Referer", "Cookie"} {
		if v, ok := seen[name]; ok {
			t.Errorf("%s was sent: %q", name, v)
		}
	}
}

// What dev is for: a receiver of one's own, found by the system's resolver. It
// listens on one of localhost's addresses only.
func TestLocalhostIsReachedWithAllowPrivate(t *testing.T) {
	srv, _ := countingServer(t, false, echo)
	c := New(Config{Policy: Policy{AllowPrivate: true}})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	if _, got, err := post(t, c, "http://localhost:"+port+"/", "hello"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}
