package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"hookferry/shared/relay"
)

func TestOurOwnShortageIsNoOutcome(t *testing.T) {
	dial := func(err error) *Client {
		c := New(Config{Resolver: resolverOf("93.184.215.14")})
		c.dialContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", err)}
		}
		return c
	}
	look := func(text string) *Client {
		return New(Config{Resolver: func(context.Context, string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "dial udp 10.0.0.2:53: socket: " + text, Name: "example.com"}
		}})
	}
	for name, c := range map[string]struct {
		client *Client
		short  bool
	}{
		"no file left":             {dial(syscall.EMFILE), true},
		"no file left anywhere":    {dial(syscall.ENFILE), true},
		"no buffer":                {dial(syscall.ENOBUFS), true},
		"no memory":                {dial(syscall.ENOMEM), true},
		"no port left":             {dial(syscall.EADDRNOTAVAIL), true},
		"no file for the resolver": {look("too many open files"), true},
		"no port for the resolver": {look("cannot assign requested address"), true},
		"refused":                  {dial(syscall.ECONNREFUSED), false},
		"unreachable":              {dial(syscall.ENETUNREACH), false},
		"the resolver is broken":   {look("server misbehaving"), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := post(t, c.client, "https://example.com/", "x")
			if got := errors.Is(err, ErrShortage); got != c.short {
				t.Errorf("shortage %t for: %v", got, err)
			}
		})
	}
}

// A destination that refuses on its first address while we run out of files at
// the second has not been tried.
func TestAShortageOutweighsWhatOtherAddressesSaid(t *testing.T) {
	c := New(Config{Resolver: resolverOf("93.184.215.14", "93.184.215.15")})
	tries := 0
	c.dialContext = func(context.Context, string, string) (net.Conn, error) {
		if tries++; tries == 1 {
			return nil, syscall.ECONNREFUSED
		}
		return nil, syscall.EMFILE
	}
	if _, _, err := post(t, c, "https://example.com/", "x"); !errors.Is(err, ErrShortage) {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatWantsACertificateFailsTheHandshake(t *testing.T) {
	for _, want := range []tls.ClientAuthType{tls.RequireAnyClientCert, tls.RequireAndVerifyClientCert} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprint(want, " ", tls.VersionName(version)), func(t *testing.T) {
				srv := httptest.NewUnstartedServer(http.NotFoundHandler())
				srv.Config.ErrorLog = log.New(io.Discard, "", 0)
				srv.TLS = &tls.Config{ClientAuth: want, MinVersion: version, MaxVersion: version}
				srv.StartTLS()
				defer srv.Close()
				c := New(Config{Policy: Policy{AllowPrivate: true}, RootCAs: rootsOf(srv)})
				_, _, err := post(t, c, srv.URL, "x")
				if code, msg := Classify(err); code != relay.CodeTLSFailure || msg != "The endpoint refused the TLS handshake." {
					t.Errorf("got %s, %q for: %v", code, msg, err)
				}
			})
		}
	}
}

func TestAMalformedAnswerIsToldApart(t *testing.T) {
	for raw, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n":                                  "The endpoint's answer has a malformed header line.",
		"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n":                            "The endpoint's answer has a malformed header line.",
		"HTTP/1.1 200 OK\r\nno name\r\nX: y\r\n\r\n":                           "The endpoint's answer has a malformed header line.",
		"HTTP/1.1 2000 OK\r\n\r\n":                                             "The endpoint's answer does not begin with a valid HTTP status line.",
		"hello\r\n\r\n":                                                        "The endpoint's answer does not begin with a valid HTTP status line.",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx":   "The endpoint's answer does not say clearly where its body ends.",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n":                        "The endpoint's answer does not say clearly where its body ends.",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n": "The endpoint's answer does not say clearly where its body ends.",
	} {
		addr := rawServer(t, answer(raw))
		c := New(Config{Policy: Policy{AllowPrivate: true}})
		_, _, err := post(t, c, "http://"+addr.String()+"/", "x")
		if code, msg := Classify(err); code != relay.CodeConnectionFailed || msg != want {
			t.Errorf("%q: got %s, %q for: %v", raw, code, msg, err)
		}
	}
}
