package recipe

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hookferry/shared/relay"
)

const (
	sampleURL  = "https://relay.example/in/src_sample"
	sampleTime = 1700000000
	// sampleText is the secret of samples. It is public and so proves nothing.
	sampleText = "a public sample secret for samples only"
	maxShown   = 1024
)

// A Computed is what a recipe makes of a sample call, for people who look for the
// fault in a recipe.
type Computed struct {
	// Signed is the signed text, cut at 1,024 bytes.
	Signed string `json:"signed"`
	// Headers are those that the recipe reads, the signature with them.
	Headers map[string]string `json:"headers"`
	ID      string            `json:"id"`
	Type    string            `json:"type"`
	Subject string            `json:"subject,omitempty"`
}

// Sample returns a call, unsigned, that holds whatever the recipe names.
func (r *Recipe) Sample() Request {
	req := Request{Header: http.Header{}, URL: sampleURL, Source: "sample"}
	body := map[string]any{}
	for _, t := range []template{r.signed, r.id, r.typ, r.subject} {
		for _, p := range t {
			switch p.kind {
			case kindHeader:
				req.Header.Set(p.text, "sample")
			case kindPointer:
				plant(body, p.pointer)
			}
		}
	}
	var err error
	if req.Body, err = json.Marshal(body); err != nil {
		panic(err) // maps and strings
	}
	return req
}

// plant puts a text where p points. A shorter pointer gives way to a longer one.
func plant(body map[string]any, p pointer) {
	for _, segment := range p[:len(p)-1] {
		next, ok := body[segment].(map[string]any)
		if !ok {
			next = map[string]any{}
			body[segment] = next
		}
		body = next
	}
	if last := p[len(p)-1]; body[last] == nil {
		body[last] = "sample"
	}
}

// SampleSecret returns the secret, or public key, under which Compute signs. It
// is known to everybody: it must not be the secret of a source.
func (r *Recipe) SampleSecret() relay.Secret {
	f := r.forms[0]
	raw := []byte(sampleText)
	if f.scheme.hash == nil {
		raw = sampleKey().Public().(ed25519.PublicKey)
	}
	switch f.secret {
	case "hex":
		return relay.Secret(hex.EncodeToString(raw))
	case "base64":
		return relay.Secret(f.strip + base64.StdEncoding.EncodeToString(raw))
	}
	return relay.Secret(raw)
}

func sampleKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(sampleText[:ed25519.SeedSize]))
}

// SampleTime is when a sample is signed.
func SampleTime() time.Time { return time.Unix(sampleTime, 0) }

// Compute signs a sample call under SampleSecret at SampleTime, sets its headers,
// and returns what the recipe makes of it. It takes no secret, so that what it
// shows gives nothing away. The error is what Verify says about the sample.
func (r *Recipe) Compute(sample Request) (Computed, error) {
	if sample.Header == nil {
		sample.Header = http.Header{}
	}
	h := head{}
	if w := r.wire.Timestamp; w != nil {
		h.timestamp = fmt.Sprint(sampleTime)
		if w.Unit == "ms" {
			h.timestamp += "000"
		}
		sample.Header.Set(w.Header, r.marked(w.Item, h.timestamp))
	}
	signed, err := r.signed.bytes(h, sample)
	if err != nil {
		return Computed{}, err
	}
	w := r.wire.Signature
	value := r.marked(w.Item, w.Prefix+r.sign(signed))
	if t := r.wire.Timestamp; t != nil && http.CanonicalHeaderKey(t.Header) == http.CanonicalHeaderKey(w.Header) {
		value = sample.Header.Get(w.Header) + "," + value
	}
	sample.Header.Set(w.Header, value)

	out := Computed{Signed: string(signed[:min(len(signed), maxShown)]), Headers: map[string]string{}}
	for name := range sample.Header {
		out.Headers[name] = sample.Header.Get(name)
	}
	res, err := r.Verify(sample, SampleTime(), r.SampleSecret())
	out.ID, out.Type, out.Subject = res.ID, res.Type, res.Subject
	return out, err
}

// marked returns a part of a header as items reads it.
func (r *Recipe) marked(item, text string) string {
	sameHeader := r.wire.Timestamp != nil && r.wire.Timestamp.Item != "" // then it is k=v
	switch {
	case item == "":
		return text
	case r.wire.Signature.Encoding == "base64" && !sameHeader && strings.HasPrefix(item, "v"):
		return item + "," + text
	}
	return item + "=" + text
}

func (r *Recipe) sign(signed []byte) string {
	var sum []byte
	if f := r.forms[0]; f.scheme.hash == nil {
		sum = ed25519.Sign(sampleKey(), signed)
	} else {
		mac := hmac.New(f.scheme.hash, []byte(sampleText))
		mac.Write(signed)
		sum = mac.Sum(nil)
	}
	if r.wire.Signature.Encoding == "hex" {
		return hex.EncodeToString(sum)
	}
	return base64.StdEncoding.EncodeToString(sum)
}
