// Package audit tries a receiver of webhooks as its worst callers will: it sends
// a right call and then wrong, stale, repeated, re-encoded, oversized, truncated
// and unsigned ones, and says which of them the receiver wrongly took or wrongly
// refused, and what to change. Every call is a webhook.test event, so that a
// receiver that is right does nothing because of it.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// MaxAnswer is how many bytes of an answer are read.
const MaxAnswer = 16 << 10

// A Config says what to audit.
type Config struct {
	// URL is the receiver's, with http or https.
	URL string
	// Secret is the endpoint's signing secret, which the receiver knows.
	Secret relay.Secret
	// Standard signs as Standard Webhooks says instead of Rivya's way.
	Standard bool
	// Prefix begins the names of Rivya-style headers. Empty means Rivya.
	Prefix string
	// Timeout bounds one call. 0 means 10 s, which is what a delivery gets.
	Timeout time.Duration
	// Client makes the calls; redirects are never followed. nil means one that
	// keeps no connection and uses no proxy.
	Client *http.Client
	// Now tells the time. nil means time.Now.
	Now func() time.Time
}

// A Result is what came of one call.
type Result struct {
	// Name and What say which call it was, in one word and in one sentence.
	Name string `json:"name"`
	What string `json:"what"`
	// Want is "accept" (any 2xx) or "refuse" (4xx).
	Want string `json:"want"`
	// Status is the answer's HTTP status, or 0 where there was none.
	Status int `json:"status"`
	// Error says why there was no answer.
	Error string `json:"error,omitempty"`
	// OK reports whether the receiver did what was wanted.
	OK bool `json:"ok"`
	// Millis is how long the call took.
	Millis int64 `json:"duration_ms"`
	// Advice says what to change. Empty if OK.
	Advice string `json:"advice,omitempty"`
}

// A Report is the outcome of an audit.
type Report struct {
	// Framework is what the receiver's answers look like, or empty.
	Framework string `json:"framework,omitempty"`
	// Results are in the order of the calls.
	Results []Result `json:"results"`
}

// Failed returns how many calls went otherwise than wanted.
func (r Report) Failed() int {
	n := 0
	for _, result := range r.Results {
		if !result.OK {
			n++
		}
	}
	return n
}

// Run makes every call, one after the other, and reports what came of them. An
// error means that the audit could not be made: a Config that cannot be used, or
// ctx ended. A receiver that cannot be reached is a report in which all failed.
func Run(ctx context.Context, c Config) (Report, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return Report{}, errors.New("url: want http:// or https:// and a host")
	}
	if c.Prefix == "" {
		c.Prefix = "Rivya"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Client == nil {
		c.Client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	client := *c.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Client = &client
	if _, err := c.sign(call{id: "check"}, c.Secret); err != nil {
		return Report{}, fmt.Errorf("secret: %w", err)
	}
	var report Report
	run := relay.NewID("evt_", c.Now())
	for _, probe := range probes(c.Standard) {
		result, header, answer := c.try(ctx, probe, run)
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if report.Framework == "" {
			report.Framework = recognise(header, answer)
		}
		report.Results = append(report.Results, result)
	}
	for i := range report.Results {
		if r := &report.Results[i]; !r.OK {
			r.Advice = advise(*r, report)
		}
	}
	return report, nil
}

// try makes one call and judges it.
func (c Config) try(ctx context.Context, p probe, run string) (Result, http.Header, string) {
	result := Result{Name: p.name, What: p.what, Want: "refuse"}
	if p.accept {
		result.Want = "accept"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := c.request(ctx, p, run)
	if err != nil {
		result.Error = err.Error()
		return result, nil, ""
	}
	start := time.Now()
	resp, err := c.Client.Do(req)
	result.Millis = time.Since(start).Milliseconds()
	if err != nil {
		result.Error = reason(err)
		// A server may end a call whose body it does not want before it answers.
		result.OK = p.name == "oversized" && ctx.Err() == nil && !strings.Contains(err.Error(), "refused")
		return result, nil, ""
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer))
	result.Status = resp.StatusCode
	if p.accept {
		result.OK = resp.StatusCode/100 == 2
	} else {
		result.OK = resp.StatusCode/100 == 4
	}
	return result, resp.Header, string(answer)
}

// reason returns the error without the URL, which may hold a token.
func reason(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
