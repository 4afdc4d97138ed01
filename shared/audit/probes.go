package audit

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// A probe is one call: how it differs from a right one, and whether a receiver
// must take it.
type probe struct {
	name, what string
	accept     bool
	// id is added to the run's own to make the event's id. Probes with the same
	// one are attempts of the same event.
	id string
	// change alters the call before it is signed.
	change func(*call)
	// after alters the request when it is signed.
	after func(c Config, r *call, h http.Header)
}

// A call is what will be signed and sent.
type call struct {
	id      string
	at      time.Time
	body    []byte
	secrets []relay.Secret
	attempt int
}

// oversized is the length of a body that nobody needs to take: four times the
// largest payload.
const oversized = 1<<20 + 1

func probes(standard bool) []probe {
	all := []probe{
		{name: "right", what: "a call as a delivery is", accept: true, id: "right"},
		{name: "duplicate", what: "the same event once more, attempt 2", accept: true, id: "right", change: func(c *call) { c.attempt = 2 }},
		{name: "written-oddly", what: "a rightly signed body with blanks, escapes and numbers as JSON allows them", accept: true, id: "odd", change: func(c *call) { c.body = odd(c.id) }},
		{name: "rotated", what: "signed by two secrets during a rotation, the known one second", accept: true, id: "rotated", change: func(c *call) { c.secrets = append([]relay.Secret{stranger()}, c.secrets...) }},
		{name: "newer-version", what: "a signature of an unknown version before the right one", accept: true, id: "newer", after: func(c Config, _ *call, h http.Header) {
			name, unknown := c.signatureHeader()
			h.Set(name, unknown+h.Get(name))
		}},
		{name: "slightly-old", what: "signed four minutes ago, within the tolerance", accept: true, id: "delayed", change: func(c *call) { c.at = c.at.Add(-4 * time.Minute) }},
		{name: "unsigned", what: "no signature at all", id: "unsigned", after: func(c Config, _ *call, h http.Header) {
			name, _ := c.signatureHeader()
			h.Del(name)
		}},
		{name: "empty-signature", what: "a signature header with nothing in it", id: "empty", after: func(c Config, _ *call, h http.Header) {
			name, unknown := c.signatureHeader()
			h.Set(name, "v1"+unknown[len("v1"):len("v1=")])
		}},
		{name: "wrong-secret", what: "signed with another secret", id: "wrong", change: func(c *call) { c.secrets = []relay.Secret{stranger()} }},
		{name: "empty-secret", what: "signed with an empty secret, as a receiver without its setting would expect", id: "none", after: emptySecret},
		{name: "changed-body", what: "one character of the body changed after signing", id: "changed", after: func(_ Config, r *call, _ http.Header) {
			r.body = bytes.Replace(r.body, []byte("task_test"), []byte("task_tesT"), 1)
		}},
		{name: "re-encoded", what: "the same JSON written again after signing", id: "again", after: func(_ Config, r *call, _ http.Header) {
			r.body = bytes.ReplaceAll(r.body, []byte(`":`), []byte(`": `))
		}},
		{name: "truncated", what: "the last byte of the body missing", id: "cut", after: func(_ Config, r *call, _ http.Header) { r.body = r.body[:len(r.body)-1] }},
		{name: "stale", what: "signed an hour ago", id: "stale", change: func(c *call) { c.at = c.at.Add(-time.Hour) }},
		{name: "future", what: "signed for an hour from now", id: "future", change: func(c *call) { c.at = c.at.Add(time.Hour) }},
		{name: "fresh-timestamp", what: "an old signature under a new timestamp", id: "fresh", change: func(c *call) { c.at = c.at.Add(-time.Hour) }, after: func(c Config, _ *call, h http.Header) {
			h.Set(c.timestampHeader(), strconv.FormatInt(c.Now().Unix(), 10))
		}},
		{name: "oversized", what: "a rightly signed body of a mebibyte", id: "big", change: func(c *call) { c.body = big(c.id) }},
		{name: "get", what: "a GET, as a crawler would send", id: "get"},
	}
	if standard {
		all = append(all, probe{name: "other-id", what: "the id changed after signing", id: "id", after: func(_ Config, _ *call, h http.Header) {
			h.Set("Webhook-Id", h.Get("Webhook-Id")+"x")
		}})
	}
	return all
}

// request makes and signs the HTTP request of a probe.
func (c Config) request(ctx context.Context, p probe, run string) (*http.Request, error) {
	id := run + "_" + p.id
	what := &call{id: id, at: c.Now(), body: sample(id), secrets: []relay.Secret{c.Secret}, attempt: 1}
	if p.change != nil {
		p.change(what)
	}
	h, err := c.sign(*what, what.secrets...)
	if err != nil {
		return nil, err
	}
	if p.after != nil {
		p.after(c, what, h)
	}
	method, body := http.MethodPost, what.body
	if p.name == "get" {
		method, body = http.MethodGet, nil
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = h
	return req, nil
}

// sign returns the headers of a delivery.
func (c Config) sign(what call, secrets ...relay.Secret) (http.Header, error) {
	ts := what.at.Unix()
	stamp := strconv.FormatInt(ts, 10)
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Hookferry-Audit"}}
	h.Set(c.Prefix+"-Webhook-Id", what.id)
	h.Set(c.Prefix+"-Webhook-Timestamp", stamp)
	h.Set(c.Prefix+"-Webhook-Attempt", strconv.Itoa(what.attempt))
	h.Set(c.Prefix+"-Webhook-Endpoint-Id", "whend_audit")
	h.Set(c.Prefix+"-Request-Id", "req_audit")
	var err error
	var text string
	if c.Standard {
		h.Set("Webhook-Id", what.id)
		h.Set("Webhook-Timestamp", stamp)
		text, err = signature.SignStandard(what.id, ts, what.body, secrets...)
	} else {
		text, err = signature.SignRivya(ts, what.body, secrets...)
	}
	name, _ := c.signatureHeader()
	h.Set(name, text)
	return h, err
}

// signatureHeader returns the header's name, and a signature of a version that
// nobody knows with the separator behind it.
func (c Config) signatureHeader() (name, unknown string) {
	if c.Standard {
		return "Webhook-Signature", "v9," + strings.Repeat("A", 43) + "= "
	}
	return c.Prefix + "-Webhook-Signature", "v9=" + strings.Repeat("0", 64) + ","
}

func (c Config) timestampHeader() string {
	if c.Standard {
		return "Webhook-Timestamp"
	}
	return c.Prefix + "-Webhook-Timestamp"
}

func stranger() relay.Secret { return relay.NewSigningSecret() }

// sample returns the body of a webhook.test event.
func sample(id string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"type":"webhook.test","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.000Z","data":{"generation":`+
		`{"id":"task_test","status":"succeeded","model":"test","reserved_credits":0,"final_credits":0,"result":null,"error":null}}}`, id)
}

// odd returns the same event in a form that no JSON writer would choose.
func odd(id string) []byte {
	return fmt.Appendf(nil, "{ \"type\" : \"webhook.\\u0074est\",\r\n\t\"id\":%q , \"api_version\":\"2026-05-11\", \"created_at\":\"2026-05-11T00:00:00.000Z\","+
		"\"data\":{\"generation\":{\"id\":\"task_test\",\"status\":\"succeeded\",\"final_credits\":0.0e0,\"note\":\"\\/ \u00e9\u4e16 \\ud83d\\ude00 <>&\"}}}\n", id)
}

// big returns the same event with a long string in it.
func big(id string) []byte {
	body := sample(id)
	pad := `,"pad":"` + strings.Repeat("x", oversized-len(body)) + `"}`
	return append(body[:len(body)-1], pad...)
}
