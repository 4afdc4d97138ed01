package recipe

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"hookferry/shared/generation"
	"hookferry/shared/rawjson"
)

// The bounds of a recipe, in bytes.
const (
	MaxRecipe     = 8192
	MaxSigned     = 512 // of signed
	MaxTemplate   = 256 // of id, type and subject
	MaxPointer    = 256
	MaxHeaderName = 64
	MaxPrefix     = 32
)

// MaxTolerance is the longest time that a timestamp may be from now.
const MaxTolerance = time.Hour

const defaultTolerance = 300 // seconds

var fieldNames = []string{
	"preset", "signature", "secret_encoding", "signed", "timestamp",
	"id", "type", "subject", "generation", "unsigned", "challenge",
}

// Parse reads a recipe. A preset that it names fills in the fields that are not
// there; null takes one of the preset's away. A recipe that has signature,
// signed, id and type of its own takes nothing but the name from its preset, so
// that a stored one stays as it is when the preset changes.
//
// The error is a *FieldError.
func Parse(text []byte) (*Recipe, error) {
	if len(text) > MaxRecipe {
		return nil, &FieldError{Field: "recipe", Problem: "must have at most 8192 bytes"}
	}
	if !rawjson.Valid(text) {
		return nil, &FieldError{Field: "recipe", Problem: "must be valid JSON in UTF-8"}
	}
	var fault *FieldError
	o := openObject(text, "", &fault, fieldNames...)
	r := &Recipe{}
	r.wire.Preset = o.text("preset", MaxHeaderName)
	if r.wire.Preset != "" && fault == nil {
		o.fill(r.wire.Preset)
	}
	r.parseSignature(o)
	r.parseTimestamp(o)
	r.parseSigned(o)
	r.parseEvent(o)
	r.parseChallenge(o)
	if fault != nil {
		return nil, fault.on(r)
	}
	return r, nil
}

// on adds what the recipe would sign on a sample call, where so much of it can be
// read.
func (e *FieldError) on(r *Recipe) *FieldError {
	if r.signed != nil {
		e.Sample = r.signed.onSample()
	}
	return e
}

// fill takes from the preset what o does not have.
func (o object) fill(name string) {
	text, ok := preset(name)
	if !ok {
		o.fail("preset", "must be one of "+strings.Join(Presets(), ", "))
		return
	}
	if o.has("signature") && o.has("signed") && o.has("id") && o.has("type") {
		return
	}
	for field, value := range openObject(text, "preset", o.fault, fieldNames...).fields {
		if _, given := o.fields[field]; !given {
			o.fields[field] = value
		}
	}
}

func (r *Recipe) parseSignature(o object) {
	if !o.has("signature") {
		o.fail("signature", "must be given")
		return
	}
	s := o.child("signature", "header", "item", "scheme", "encoding", "prefix")
	w := wireSignature{
		Header:   s.header("header"),
		Item:     s.item("item"),
		Scheme:   s.choice("scheme", "", schemeNames()...),
		Encoding: s.choice("encoding", "", "hex", "base64"),
		Prefix:   s.text("prefix", MaxPrefix),
	}
	if !printable(w.Prefix) || strings.Trim(w.Prefix, " ") != w.Prefix {
		s.fail("prefix", "must be printable ASCII without blanks at its ends")
	}
	r.wire.Signature = w
	secret := "text"
	if w.Scheme == ed25519Scheme {
		secret = o.choice("secret_encoding", "base64", "hex", "base64")
	} else {
		secret = o.choice("secret_encoding", secret, "text", "hex", "base64")
	}
	r.wire.SecretEncoding = secret
	f := form{item: w.Item, scheme: schemes[w.Scheme], secret: secret}
	if secret == "base64" {
		f.strip = "whsec_"
		if w.Scheme == ed25519Scheme {
			f.strip = "whpk_"
		}
	}
	r.forms = []form{f}
}

func (r *Recipe) parseTimestamp(o object) {
	if !o.has("timestamp") {
		return
	}
	t := o.child("timestamp", "header", "item", "unit", "tolerance_seconds")
	w := &wireTimestamp{
		Header:    t.header("header"),
		Item:      t.item("item"),
		Unit:      t.choice("unit", "s", "s", "ms"),
		Tolerance: t.number("tolerance_seconds", defaultTolerance, 1, int(MaxTolerance/time.Second)),
	}
	r.wire.Timestamp = w
	r.tolerance = time.Duration(w.Tolerance) * time.Second
}

func (r *Recipe) parseSigned(o object) {
	text := o.need("signed", MaxSigned)
	t, problem := parseTemplate(text, true)
	if problem != "" {
		o.fail("signed", problem)
		return
	}
	r.wire.Signed, r.signed = text, t
	n := t.count(kindTimestamp)
	switch {
	case t.count(kindBody)+t.count(kindDigest) == 0:
		problem = "must hold {body} or {body:sha256:hex}, or the signature would not prove the body"
	case t.count(kindBody)+t.count(kindDigest) > 1 || n > 1 || t.count(kindURL) > 1:
		problem = "must hold each of the body, {timestamp} and {url} once at most"
	case n == 0 && r.wire.Timestamp != nil:
		problem = "must hold {timestamp}, because a timestamp is declared and would prove nothing unsigned"
	case n > 0 && r.wire.Timestamp == nil:
		problem = "holds {timestamp}, so that timestamp must say which header it comes from"
	}
	if problem != "" {
		o.fail("signed", problem)
	}
}

// eventFields are the fields that say what event a call is.
var eventFields = []string{"id", "type", "subject"}

func (r *Recipe) parseEvent(o object) {
	event := func(name, text string) template {
		t, problem := parseTemplate(text, false)
		if problem != "" {
			o.fail(name, problem)
		}
		return t
	}
	w := &r.wire
	w.ID, w.Type = o.need("id", MaxTemplate), o.need("type", MaxTemplate)
	r.id, r.typ = event("id", w.ID), event("type", w.Type)
	if w.Subject = o.text("subject", MaxTemplate); w.Subject != "" {
		r.subject = event("subject", w.Subject)
	}
	if o.has("generation") {
		w.Generation = o.choice("generation", "", generation.Providers()...)
	}
	if o.has("unsigned") && json.Unmarshal(o.fields["unsigned"], &w.Unsigned) != nil {
		o.fail("unsigned", "must be an array of strings")
	}
	for _, name := range w.Unsigned {
		if !slices.Contains(eventFields, name) {
			o.fail("unsigned", "may name id, type and subject")
		}
	}
	if slices.Sort(w.Unsigned); len(slices.Compact(slices.Clone(w.Unsigned))) != len(w.Unsigned) {
		o.fail("unsigned", "must name each field once")
	}
	for i, t := range []template{r.id, r.typ, r.subject} {
		name, header := eventFields[i], t.beyond(r.signed)
		switch named := slices.Contains(w.Unsigned, name); {
		case header != "" && !named:
			o.failf("unsigned", "must name %s, because the header %s that it comes from is not signed", name, header)
		case header == "" && named:
			o.failf("unsigned", "must not name %s, because all that it comes from is signed", name)
		}
	}
}

func (r *Recipe) parseChallenge(o object) {
	if !o.has("challenge") {
		return
	}
	c := o.child("challenge", "when", "answer", "as")
	w := &wireChallenge{
		When:   c.need("when", MaxPointer),
		Answer: c.need("answer", MaxPointer),
		As:     c.choice("as", "text", "text", "json"),
	}
	pointerOf := func(name, text string) pointer {
		p, problem := parsePointer(text)
		if problem != "" {
			c.fail(name, problem)
		}
		return p
	}
	r.when, r.answer = pointerOf("when", w.When), pointerOf("answer", w.Answer)
	r.wire.Challenge = w
}
