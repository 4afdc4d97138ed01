package egress

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

// rawServer serves each connection with f and returns its address.
func rawServer(t *testing.T, f func(net.Conn)) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr()
}

// answer reads a request and writes raw as its answer.
func answer(raw string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, raw)
		}
	}
}

// hang keeps a connection open, silent, until the other side closes it.
func hang(conn net.Conn) { io.Copy(io.Discard, conn) }

// certificate returns a certificate for the name, signed by itself, and a pool
// that trusts it.
func certificate(t *testing.T, name string, notAfter time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: notAfter.Add(-24 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func tlsServer(t *testing.T, cfg *tls.Config) net.Addr {
	t.Helper()
	return rawServer(t, func(conn net.Conn) { io.Copy(io.Discard, tls.Server(conn, cfg)) })
}

var internals = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|::|\[|:\d+|dial|tcp|lookup|context|http:|tls:|x509:`)

func TestFailuresHaveTheirCodesAndNoAddresses(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(srv.Close)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	closedPort := rawServer(t, hang)
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	expired, expiredRoots := certificate(t, "example.com", time.Now().Add(-time.Hour))
	other, otherRoots := certificate(t, "other.example.com", time.Now().Add(time.Hour))
	good, goodRoots := certificate(t, "example.com", time.Now().Add(time.Hour))

	dns := func(e net.DNSError) func(context.Context, string) ([]netip.Addr, error) {
		e.Name, e.Server = "example.com", "10.0.0.2:53"
		return func(context.Context, string) ([]netip.Addr, error) { return nil, &e }
	}
	stuck := func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, c := range []struct {
		name     string
		scheme   string
		resolver func(context.Context, string) ([]netip.Addr, error)
		addr     net.Addr
		roots    *x509.CertPool
		code     relay.ErrorCode
		message  string
	}{
		{
			"no such name", "https", dns(net.DNSError{Err: "no such host", IsNotFound: true}), nil, nil,
			relay.CodeDNSFailure, "The host name does not exist or has no address.",
		},
		{
			"resolver fails", "https", dns(net.DNSError{Err: "server misbehaving", IsTemporary: true}), nil, nil,
			relay.CodeDNSFailure, "The host name could not be looked up.",
		},
		{
			"resolver times out", "https", dns(net.DNSError{Err: "i/o timeout", IsTimeout: true}), nil, nil,
			relay.CodeDNSFailure, "Looking up the host name took too long.",
		},
		{
			"resolver hangs", "https", stuck, nil, nil,
			relay.CodeDNSFailure, "Looking up the host name took too long.",
		},
		{
			"no address", "https", resolverOf(), nil, nil,
			relay.CodeDNSFailure, "The host name has no address.",
		},
		{
			"refused", "https", nil, refusing.Addr(), nil,
			relay.CodeConnectionFailed, "The connection was refused.",
		},
		{
			"silent server", "http", nil, closedPort, nil,
			relay.CodeTimeout, "The endpoint did not answer in time.",
		},
		{
			"silent in the handshake", "https", nil, closedPort, nil,
			relay.CodeTimeout, "The TLS handshake took too long.",
		},
		{
			"unknown authority", "https", nil, srv.Listener.Addr(), x509.NewCertPool(),
			relay.CodeTLSFailure, "The certificate is signed by an unknown authority, or an intermediate certificate is missing.",
		},
		{
			"expired", "https", nil, tlsServer(t, &tls.Config{Certificates: []tls.Certificate{expired}}), expiredRoots,
			relay.CodeTLSFailure, "The certificate has expired or is not yet valid.",
		},
		{
			"other name", "https", nil, tlsServer(t, &tls.Config{Certificates: []tls.Certificate{other}}), otherRoots,
			relay.CodeTLSFailure, "The certificate is not valid for the host name.",
		},
		{
			"old TLS", "https", nil, tlsServer(t, &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}), goodRoots,
			relay.CodeTLSFailure, "The endpoint refused the TLS handshake.",
		},
		{
			"no TLS", "https", nil, rawServer(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); hang(c) }), nil,
			relay.CodeTLSFailure, "The endpoint does not speak TLS on this port.",
		},
		{
			"closes in the handshake", "https", nil, rawServer(t, func(c net.Conn) { c.Read(make([]byte, 4096)) }), nil,
			relay.CodeTLSFailure, "The endpoint closed the connection during the TLS handshake.",
		},
		{
			"closes without an answer", "http", nil, rawServer(t, answer("")), nil,
			relay.CodeConnectionFailed, "The endpoint closed the connection before its answer was complete.",
		},
		{
			"closes in the body", "http", nil, rawServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")), nil,
			relay.CodeConnectionFailed, "The endpoint closed the connection before its answer was complete.",
		},
		{
			"not HTTP", "http", nil, rawServer(t, answer("220 smtp.internal ESMTP\r\n")), nil,
			relay.CodeConnectionFailed, "The endpoint's answer does not begin with a valid HTTP status line.",
		},
		{
			"header too large", "http", nil, rawServer(t, answer("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 200)+"\r\n")), nil,
			relay.CodeConnectionFailed, "The header of the endpoint's answer is too large.",
		},
		{
			"endless interim answers", "http", nil, rawServer(t, answer(strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 10_000))), nil,
			relay.CodeConnectionFailed, "The endpoint sent too many interim answers (1xx).",
		},
		{"drips its body", "http", nil, rawServer(t, func(c net.Conn) {
			answer("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")(c)
			for {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}), nil, relay.CodeTimeout, "The endpoint did not answer in time."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.resolver == nil {
				c.resolver = resolverOf("93.184.215.14")
			}
			client := New(Config{
				Policy: Policy{AllowPrivate: c.scheme == "http"}, Resolver: c.resolver, RootCAs: c.roots,
				ConnectTimeout: 300 * time.Millisecond, Timeout: 600 * time.Millisecond,
			})
			if c.addr != nil {
				var w wire
				w.attach(client, c.addr)
			}
			_, _, err := post(t, client, c.scheme+"://example.com/", "x")
			code, message := Classify(err)
			if code != c.code || message != c.message {
				t.Errorf("got %s, %q for: %v", code, message, err)
			}
			if internals.MatchString(message) {
				t.Errorf("the message carries internals: %s", message)
			}
		})
	}
}

func TestClassifyMakesNothingOfNothing(t *testing.T) {
	if code, msg := Classify(nil); code != "" || msg != "" {
		t.Errorf("got %q, %q", code, msg)
	}
	for err, want := range map[error]relay.ErrorCode{
		fmt.Errorf("attempt: %w", refuse("the URL is empty")):                     relay.CodeAddressBlocked,
		fmt.Errorf("attempt: %w", context.Canceled):                               relay.CodeConnectionFailed,
		fmt.Errorf("read: %w", context.DeadlineExceeded):                          relay.CodeTimeout,
		&stepError{stepConnect, &net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}}: relay.CodeTimeout,
		&stepError{stepConnect, syscall.EHOSTUNREACH}:                             relay.CodeConnectionFailed,
		errors.New("read tcp 10.0.0.1:443: something else"):                       relay.CodeConnectionFailed,
	} {
		if code, msg := Classify(err); code != want || msg == "" || internals.MatchString(msg) {
			t.Errorf("%v: got %s, %q", err, code, msg)
		}
	}
}

// A body that is read after the client's time is over fails, however the server
// spreads it.
func TestTheTimeoutCoversTheBody(t *testing.T) {
	addr := rawServer(t, func(c net.Conn) {
		answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")(c)
		hang(c)
	})
	client := New(Config{Policy: Policy{AllowPrivate: true}, Timeout: 100 * time.Millisecond})
	resp, body, err := post(t, client, "http://"+addr.String(), "x")
	if resp == nil || body != "abc" {
		t.Errorf("got %v, %q", resp, body)
	}
	if code, _ := Classify(err); code != relay.CodeTimeout {
		t.Errorf("got %v, %s", err, code)
	}
}

func TestEveryAddressGetsItsShareOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		type try struct {
			Address string
			After   time.Duration
		}
		var tries []try
		client, server := net.Pipe()
		defer server.Close()
		c := New(Config{
			ConnectTimeout: 3 * time.Second,
			Resolver:       resolverOf("93.184.215.14", "93.184.215.15", "2606:4700::1", "2606:4700::2", "93.184.215.16"),
		})
		c.dialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			tries = append(tries, try{address, time.Since(start)})
			switch len(tries) {
			case 1:
				<-ctx.Done()
				return nil, ctx.Err()
			case 2:
				return nil, syscall.ENETUNREACH
			case 3:
				return nil, syscall.ECONNREFUSED
			}
			return client, nil
		}
		conn, err := c.open(t.Context(), connKey{scheme: "http", hostport: "example.com:443"}, time.Now())
		if err != nil || conn.Conn != client {
			t.Fatalf("got %v, %v", conn, err)
		}
		want := []try{
			{"93.184.215.14:443", 0},
			{"[2606:4700::1]:443", 750 * time.Millisecond},
			{"93.184.215.15:443", 750 * time.Millisecond},
			{"[2606:4700::2]:443", 750 * time.Millisecond},
		}
		if diff := cmp.Diff(want, tries); diff != "" {
			t.Error(diff)
		}
	})
}

func TestConnectingEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var last error
		tries := 0
		c := New(Config{Resolver: resolverOf("2606:4700::1", "93.184.215.14", "93.184.215.15")})
		c.dialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			if tries++; tries == 1 {
				return nil, syscall.ENETUNREACH
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, last = c.open(t.Context(), connKey{scheme: "http", hostport: "example.com:443"}, time.Now())
		if took := time.Since(start); took != 3*time.Second || tries != 3 {
			t.Errorf("took %s and %d tries, want 3s and 3", took, tries)
		}
		// Not that there is no IPv6 here, but what IPv4 met.
		if code, msg := Classify(last); code != relay.CodeTimeout || msg != "The connection could not be made in time." {
			t.Errorf("got %s, %s", code, msg)
		}
	})
}

func TestAddressFamiliesTakeTurns(t *testing.T) {
	parse := func(texts ...string) []netip.Addr {
		addrs, _ := resolverOf(texts...)(t.Context(), "")
		return addrs
	}
	for _, c := range []struct{ in, want []netip.Addr }{
		{parse("1.1.1.1"), parse("1.1.1.1")},
		{parse("::1", "::2", "::3", "1.1.1.1", "1.1.1.2"), parse("::1", "1.1.1.1", "::2", "1.1.1.2", "::3")},
		{parse("1.1.1.1", "::1", "::2", "::3"), parse("1.1.1.1", "::1", "::2", "::3")},
	} {
		if diff := cmp.Diff(c.want, alternate(c.in), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%v: %s", c.in, diff)
		}
	}
}
