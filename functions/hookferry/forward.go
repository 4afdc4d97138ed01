package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A forwarder sends deliveries on to a receiver that is being written.
type forwarder struct {
	url    *url.URL
	client *http.Client
}

// forwardLimit is how much of a receiver's answer is read.
const forwardLimit = 16 << 10

func newForwarder(to string) (*forwarder, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("-forward %q: want a URL, like http://localhost:3000/hook", to)
	}
	return &forwarder{url: u, client: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{}, // no proxy: what is sent on stays where it is sent
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// path is that of the URL, to show.
func (f *forwarder) path() string { return f.url.RequestURI() }

// A forwarded is what became of a delivery that was sent on.
type forwarded struct {
	URL    string  `json:"url"`
	Status int     `json:"status,omitempty"`
	TookMS float64 `json:"duration_ms"`
	Answer string  `json:"answer,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// answerStatus is what the relay is answered: the receiver's status, or 502 if it
// has said nothing.
func (f *forwarded) answerStatus() int {
	if f.Status < 200 {
		return http.StatusBadGateway
	}
	return f.Status
}

// send posts the very bytes that came, with the headers that came, so that the
// receiver can check the signature itself.
func (f *forwarder) send(ctx context.Context, r *received) *forwarded {
	done := &forwarded{URL: f.url.Redacted()}
	began := time.Now()
	defer func() { done.TookMS = float64(time.Since(began).Microseconds()) / 1000 }()
	req, err := http.NewRequestWithContext(ctx, r.method, f.url.String(), bytes.NewReader(r.body))
	if err != nil {
		done.Error = "it cannot be sent on: " + r.method + " is no method"
		return done
	}
	for name, values := range r.header {
		switch name {
		case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Accept-Encoding", "Content-Length":
		default:
			req.Header[name] = values
		}
	}
	resp, err := f.client.Do(req)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err
		}
		done.Error = "no answer: " + err.Error()
		return done
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, forwardLimit))
	done.Status, done.Answer = resp.StatusCode, strings.ToValidUTF8(string(bytes.TrimSpace(answer)), "\uFFFD")
	if err != nil {
		done.Error = "the answer broke off: " + err.Error()
	}
	return done
}
