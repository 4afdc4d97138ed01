package dispatcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
	"hookferry/shared/telemetry"
)

const (
	maxAnswer  = 16 << 10 // bytes of an answer's body that are read
	statusGone = http.StatusGone
)

// errURL means that an endpoint's URL, valid when it was set, is none.
var errURL = errors.New("not a URL")

// post posts the event to the endpoint and writes the outcome into a. An error
// means that we failed and nothing was sent.
func (d *Dispatcher) post(ctx context.Context, a *relay.Attempt, ev relay.Event, ep relay.Endpoint, body []byte) (retryAfter time.Duration, err error) {
	start := d.Now()
	req, err := d.request(ctx, a, ev, ep, body)
	if errors.Is(err, errURL) {
		a.Status, a.ErrorCode, a.ErrorMessage = relay.AttemptFailed, relay.CodeConnectionFailed, "The endpoint's URL cannot be used."
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	resp, err := d.Client.Do(req)
	if errors.Is(err, egress.ErrShortage) {
		return 0, err
	}
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		resp.Body.Close() // what it could tell, reading has told
	}
	end := d.Now()
	a.Duration = end.Sub(start)
	a.Status = relay.AttemptFailed
	code, message := egress.Classify(err)
	if resp == nil {
		a.ErrorCode, a.ErrorMessage = code, message
		return 0, nil
	}
	a.HTTPStatus = resp.StatusCode
	switch {
	case resp.StatusCode/100 == 2 && code != relay.CodeTimeout:
		// The status has been given; how its body ended changes nothing. But the
		// time limit holds for the whole of it.
		a.Status = relay.AttemptSucceeded
		a.Snippet = snippet(answer, relay.MaxSuccessSnippet)
		return 0, nil
	case resp.StatusCode/100 == 2:
		a.ErrorCode, a.ErrorMessage = code, message
	case isRedirect(resp):
		a.ErrorCode = relay.CodeRedirect
		a.ErrorMessage = fmt.Sprintf("The endpoint answered with a redirect (%d), which is not followed.", resp.StatusCode)
	default:
		a.ErrorCode = relay.CodeHTTPError
		a.ErrorMessage = fmt.Sprintf("The endpoint answered with status %d.", resp.StatusCode)
	}
	a.Snippet = snippet(answer, relay.MaxSnippet)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), end)
	}
	return retryAfter, nil
}

// call makes the call of an attempt and says when the next is due.
func (w *work) call(ctx context.Context, a *relay.Attempt, j job, ep relay.Endpoint, body []byte) error {
	start := w.Now()
	a.CreatedAt = relay.Millis(start)
	// Once it has begun, a call ends by the destination or by its own limit, never
	// because this process is asked to stop: that would be put down to the
	// destination.
	ctx, cancel := detached(ctx, w.DeliveryTimeout)
	defer cancel()
	retryAfter, err := w.post(ctx, a, j.ev.Event, ep, body)
	if err != nil {
		return err
	}
	a.Final = true
	if a.Status == relay.AttemptFailed {
		if wait, more := w.Schedule.After(a.Number, retryAfter); more {
			a.Final, a.NextAttemptAt = false, relay.Millis(w.Now().Add(wait))
		}
	}
	w.line.ObserveDuration(telemetry.AttemptDuration, a.Duration)
	if a.Number == 1 && a.Run == 0 {
		w.line.ObserveDuration(telemetry.AcceptToAttempt, max(start.Sub(j.due), 0))
	} else {
		w.line.ObserveDuration(telemetry.RetryLateness, max(start.Sub(j.due), 0))
	}
	return nil
}

// request builds the signed request and puts on record where it goes and how it
// is signed. It can be sent once more when a kept connection turns out to be
// dead, because http.NewRequest has set GetBody.
func (d *Dispatcher) request(ctx context.Context, a *relay.Attempt, ev relay.Event, ep relay.Endpoint, body []byte) (*http.Request, error) {
	secrets, err := d.secrets(ep, a.Number)
	if err != nil {
		return nil, err
	}
	ts := a.CreatedAt.Unix()
	rivya, err := signature.SignRivya(ts, body, secrets...)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	a.URL = cut(ep.URL, relay.MaxRecordedURL)
	req, err := http.NewRequestWithContext(egress.WithOwner(ctx, a.Account), http.MethodPost, ep.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errURL
	}
	sending := signature.Sending{
		Prefix: d.HeaderPrefix, EventKey: a.EventID, SourceID: ev.SourceID, EndpointID: ep.ID, RequestID: a.RequestID,
		Attempt: a.Number, At: a.CreatedAt, TraceParent: ev.TraceParent, Passes: ev.Passes,
	}
	standard, err := d.standard(signature.WebhookID(a.EventID), ts, ep, body, secrets)
	if err != nil {
		return nil, err
	}
	sending.Standard = standard != ""
	req.Header = sending.Header()
	req.Header[sending.SignatureHeader()] = []string{rivya}
	if sending.Standard {
		req.Header["Webhook-Signature"] = []string{standard}
	}
	a.Signatures = sending.Record(req.Header)
	return req, nil
}

// standard returns the signatures as Standard Webhooks says, of each kind that
// the endpoint asks for; empty if it asks for none.
func (d *Dispatcher) standard(id string, ts int64, ep relay.Endpoint, body []byte, secrets []relay.Secret) (string, error) {
	var signatures []string
	if slices.Contains(ep.Signatures, relay.SchemeStandard) {
		symmetric, err := signature.SignStandard(id, ts, body, secrets...)
		if err != nil {
			return "", fmt.Errorf("sign: %w", err)
		}
		signatures = append(signatures, symmetric)
	}
	if slices.Contains(ep.Signatures, relay.SchemeStandardEd25519) {
		ring, err := d.Keys.Ring()
		if err != nil {
			return "", err
		}
		asymmetric, err := signature.SignEd25519(id, ts, body, signature.EndpointKeys(ring, ep.ID)...)
		if err != nil {
			return "", fmt.Errorf("sign: %w", err)
		}
		signatures = append(signatures, asymmetric)
	}
	return strings.Join(signatures, " "), nil
}

// isRedirect reports whether an answer sends the caller elsewhere. 300 and 304
// without a Location do not.
func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return resp.StatusCode/100 == 3 && resp.Header.Get("Location") != ""
}

// secrets opens the endpoint's secrets in the order in which they sign: during a
// rotation the new one first in odd attempts, the old one first in even ones,
// because many verifiers read only the first signature.
func (d *Dispatcher) secrets(ep relay.Endpoint, number int) ([]relay.Secret, error) {
	current, err := d.Keys.Open(ep.Secret, seal.Place{Account: ep.Account, Object: ep.ID, Field: seal.SigningSecret})
	if err != nil {
		return nil, err
	}
	if ep.OldSecret == "" || !d.Now().Before(ep.OldSecretUntil) {
		return []relay.Secret{current}, nil
	}
	old, err := d.Keys.Open(ep.OldSecret, seal.Place{Account: ep.Account, Object: ep.ID, Field: seal.OldSigningSecret})
	if err != nil {
		return nil, err
	}
	if number%2 == 0 {
		return []relay.Secret{old, current}, nil
	}
	return []relay.Secret{current, old}, nil
}

// snippet returns the start of an answer: at most limit bytes of valid UTF-8.
func snippet(answer []byte, limit int) string {
	// One cut before and one after: what is not UTF-8 grows when it is replaced.
	s := strings.ToValidUTF8(cut(string(answer[:min(len(answer), limit+utf8.UTFMax)]), limit), "\uFFFD")
	return cut(s, limit)
}

// cut shortens s to at most limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	if !utf8.RuneStart(s[end]) {
		end = limit
	}
	return s[:end]
}

// parseRetryAfter reads a Retry-After header, seconds or a date. What is neither,
// or past, is no wait.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if limit := int64(relay.MaxRetryAfter / time.Second); err != nil || seconds > limit {
			return relay.MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
