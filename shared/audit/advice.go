package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// emptySecret signs with a key of no bytes, which our own signer refuses to do.
func emptySecret(c Config, what *call, h http.Header) {
	stamp := strconv.FormatInt(what.at.Unix(), 10)
	mac := hmac.New(sha256.New, nil)
	name, _ := c.signatureHeader()
	if c.Standard {
		mac.Write([]byte(what.id + "." + stamp + "."))
		mac.Write(what.body)
		h.Set(name, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		return
	}
	mac.Write([]byte(stamp + "."))
	mac.Write(what.body)
	h.Set(name, "v1="+hex.EncodeToString(mac.Sum(nil)))
}

// A framework is known by what its answers carry, and keeps the raw body in its
// own way.
type framework struct {
	name string
	sign func(h http.Header, answer string) bool
	raw  string
}

var frameworks = []framework{
	{
		"Express", func(h http.Header, _ string) bool { return h.Get("X-Powered-By") == "Express" },
		"In Express mount express.raw({type: 'application/json', limit: '1mb'}) on this route, before any express.json().",
	},
	{
		"Next.js", func(h http.Header, _ string) bool {
			return strings.HasPrefix(h.Get("X-Powered-By"), "Next.js") || h.Get("X-Nextjs-Cache") != ""
		},
		"In Next.js take await request.text() in a route handler, or export config = {api: {bodyParser: false}} from an API route.",
	},
	{
		"Fastify", func(_ http.Header, answer string) bool {
			return strings.Contains(answer, `"FST_ERR`)
		},
		"In Fastify add a content type parser for application/json with parseAs: 'buffer' and verify that buffer.",
	},
	{
		"Flask", func(h http.Header, _ string) bool { return strings.HasPrefix(h.Get("Server"), "Werkzeug") },
		"In Flask verify request.get_data() before request.json is touched, and set MAX_CONTENT_LENGTH.",
	},
	{
		"Django", func(_ http.Header, answer string) bool {
			return strings.Contains(answer, "CSRF verification failed")
		},
		"In Django mark the view @csrf_exempt and verify request.body.",
	},
	{
		"FastAPI or Starlette", func(h http.Header, _ string) bool { return h.Get("Server") == "uvicorn" },
		"In FastAPI take request: Request and verify await request.body(), not a parsed model.",
	},
	{
		"Rails", func(h http.Header, _ string) bool { return h.Get("X-Runtime") != "" && h.Get("X-Request-Id") != "" },
		"In Rails verify request.raw_post and skip_before_action :verify_authenticity_token for this action.",
	},
	{
		"Laravel", func(h http.Header, _ string) bool {
			return strings.Contains(strings.Join(h.Values("Set-Cookie"), " "), "laravel_session")
		},
		"In Laravel verify $request->getContent() and leave this route out of the CSRF middleware.",
	},
	{
		"Spring", func(_ http.Header, answer string) bool {
			return strings.Contains(answer, `"timestamp"`) && strings.Contains(answer, `"path"`)
		},
		"In Spring take @RequestBody byte[] body and verify those bytes, not a mapped object.",
	},
	{
		"ASP.NET", func(h http.Header, _ string) bool { return h.Get("Server") == "Kestrel" },
		"In ASP.NET call Request.EnableBuffering() and verify the stream's bytes before model binding.",
	},
}

// recognise names the framework that an answer looks like, or returns "".
func recognise(h http.Header, answer string) string {
	for _, f := range frameworks {
		if h != nil && f.sign(h, answer) {
			return f.name
		}
	}
	return ""
}

var advice = map[string]string{
	"right":           "The receiver refuses a right call. Check that it uses this endpoint's secret whole, whsec_ included, and signs the timestamp header, a full stop, and the raw body.",
	"duplicate":       "Answer 2xx to an event that was handled already, and do nothing: a delivery comes at least once, and every other answer is tried again.",
	"written-oddly":   "The receiver seems to verify JSON that it parsed and wrote again. Verify the bytes as they were received.",
	"rotated":         "While a secret is rotated the header holds two signatures. Accept the call if any of them is right.",
	"newer-version":   "Pass over signatures whose version you do not know, and look for v1 among all of them.",
	"slightly-old":    "Tolerate five minutes between your clock and the timestamp: an attempt may wait in a queue, and clocks differ.",
	"unsigned":        "Anybody can make this call. Refuse with 401 what carries no signature.",
	"empty-signature": "An empty signature must compare as wrong. Refuse it before comparing.",
	"wrong-secret":    "The signature is not checked, or its outcome is not used. Refuse with 401 when no signature is right.",
	"empty-secret":    "The receiver runs with an empty secret, so anybody can sign. Refuse to start without one.",
	"changed-body":    "What was signed is not what was acted upon. Sign and compare over the whole raw body.",
	"re-encoded":      "The receiver verifies JSON that it parsed and wrote again. Verify the bytes as they were received.",
	"truncated":       "A body that ends early was taken. Verify the whole body before acting.",
	"stale":           "A recorded call can be played back for ever. Refuse a timestamp that is more than five minutes old.",
	"future":          "A timestamp from the future was taken. Refuse one that is more than five minutes ahead.",
	"fresh-timestamp": "The timestamp is not part of what is verified. Sign the timestamp header, a full stop, and the raw body.",
	"oversized":       "The receiver reads as much as a stranger sends. Bound the body at 1 MiB and answer 413.",
	"get":             "Answer 405 to everything but POST.",
	"other-id":        "The id is not part of what is verified. Sign id, timestamp and body with full stops between.",
}

// aboutRaw names the calls whose wrong answer comes from a body that was parsed
// before it was verified.
var aboutRaw = map[string]bool{"right": true, "written-oddly": true, "changed-body": true, "re-encoded": true}

// advise says what to change because of one result.
func advise(r Result, all Report) string {
	switch {
	case r.Error != "" && r.Status == 0:
		return "The receiver gave no answer. A delivery gets 3 seconds to connect and 10 seconds in all: answer first, work afterwards."
	case r.Status/100 == 3:
		return "A redirect is never followed. Give the endpoint the URL that it leads to."
	case r.Want == "refuse" && r.Status/100 == 5:
		return "The receiver fell over instead of refusing. Answer 4xx to a call that is not right."
	}
	text := advice[r.Name]
	for _, f := range frameworks {
		if f.name == all.Framework && aboutRaw[r.Name] {
			text += " " + f.raw
		}
	}
	return text
}
