package recipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const maxPlaceholders = 8

// The kinds of a piece of a template.
type kind int

const (
	kindLiteral kind = iota
	kindBody
	kindDigest
	kindTimestamp
	kindURL
	kindHeader
	kindPointer
)

// A piece is literal text or a placeholder.
type piece struct {
	kind    kind
	text    string  // the literal, the header's canonical name, or the pointer as written
	pointer pointer // of a kindPointer
}

// A template is literal text and placeholders, never two of these without a
// literal between them.
type template []piece

// parseTemplate reads a template of signed, or of id, type and subject. The
// problem is empty, or the rest of a sentence about the field.
func parseTemplate(text string, signed bool) (template, string) {
	var t template
	placeholders := 0
	for text != "" {
		if text[0] != '{' {
			end := strings.IndexByte(text, '{')
			if end < 0 {
				end = len(text)
			}
			if problem := literalProblem(text[:end], signed); problem != "" {
				return nil, problem
			}
			t = append(t, piece{text: text[:end]})
			text = text[end:]
			continue
		}
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return nil, "has a { without its }"
		}
		p, problem := parsePlaceholder(text[1:end], signed)
		if problem != "" {
			return nil, problem
		}
		if placeholders++; placeholders > maxPlaceholders {
			return nil, fmt.Sprintf("must have at most %d placeholders", maxPlaceholders)
		}
		if len(t) > 0 && t[len(t)-1].kind != kindLiteral {
			return nil, "must have literal text between any two placeholders, or one call could be read in two ways"
		}
		t = append(t, p)
		text = text[end+1:]
	}
	if placeholders == 0 {
		return nil, "must have a placeholder"
	}
	if signed && t.ambiguous() {
		return nil, "must have, between any two placeholders, a character that is no letter and no digit"
	}
	return t, ""
}

func literalProblem(text string, signed bool) string {
	for i := range len(text) {
		switch c := text[i]; {
		case c == '}':
			return "has a } without its {"
		case c == '\n' && signed:
		case c < 0x20 || c > 0x7e:
			return "must be made of printable ASCII characters"
		}
	}
	return ""
}

// ambiguous reports whether a literal between two placeholders could be part of
// a timestamp or a digest.
func (t template) ambiguous() bool {
	for i, p := range t {
		if p.kind == kindLiteral && i > 0 && i < len(t)-1 && !strings.ContainsFunc(p.text, func(c rune) bool {
			return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
		}) {
			return true
		}
	}
	return false
}

func parsePlaceholder(text string, signed bool) (piece, string) {
	name, isHeader := strings.CutPrefix(text, "header:")
	switch {
	case isHeader:
		if problem := headerProblem(name); problem != "" {
			return piece{}, "has {" + shown(text) + "}, and what stands after header: " + problem
		}
		return piece{kind: kindHeader, text: http.CanonicalHeaderKey(name)}, ""
	case !signed && strings.HasPrefix(text, "/"):
		p, problem := parsePointer(text)
		if problem != "" {
			return piece{}, "has {" + shown(text) + "}, which " + problem
		}
		return piece{kind: kindPointer, text: text, pointer: p}, ""
	case !signed:
		return piece{}, "has {" + shown(text) + "}, where only {header:NAME} and {/json/pointer} can stand"
	}
	known := map[string]kind{
		"body": kindBody, "body:sha256:hex": kindDigest, "timestamp": kindTimestamp, "url": kindURL,
	}
	if k, ok := known[text]; ok {
		return piece{kind: k}, ""
	}
	return piece{}, "has {" + shown(text) + "}, where only {body}, {body:sha256:hex}, {timestamp}, {url} and {header:NAME} can stand"
}

func (t template) count(k kind) int {
	n := 0
	for _, p := range t {
		if p.kind == k {
			n++
		}
	}
	return n
}

// headers returns the names of the headers in t.
func (t template) headers() []string {
	var names []string
	for _, p := range t {
		if p.kind == kindHeader && !slices.Contains(names, p.text) {
			names = append(names, p.text)
		}
	}
	return names
}

// beyond returns a header of t that is not in signed, or nothing.
func (t template) beyond(signed template) string {
	proved := signed.headers()
	for _, name := range t.headers() {
		if !slices.Contains(proved, name) {
			return name
		}
	}
	return ""
}

// bytes returns what is signed.
func (t template) bytes(h head, req Request) ([]byte, error) {
	parts, err := t.parts(h, req)
	return bytes.Join(parts, nil), err
}

// parts returns what is signed, in parts, of which the body is one: it is not
// copied.
func (t template) parts(h head, req Request) ([][]byte, error) {
	out := make([][]byte, 0, len(t))
	for i, p := range t {
		switch p.kind {
		case kindBody:
			out = append(out, req.Body)
		case kindDigest:
			sum := sha256.Sum256(req.Body)
			out = append(out, hex.AppendEncode(nil, sum[:]))
		case kindTimestamp:
			out = append(out, []byte(h.timestamp))
		case kindURL:
			if req.URL == "" {
				return nil, fmt.Errorf("%w: the source has no URL to check", ErrMissing)
			}
			out = append(out, []byte(req.URL))
		case kindHeader:
			value, err := one(req.Header, p.text)
			if err != nil {
				return nil, err
			}
			if t.shifts(i, value) {
				return nil, fmt.Errorf("%w: %s holds the text that ends it", ErrMalformed, p.text)
			}
			out = append(out, []byte(value))
		default:
			out = append(out, []byte(p.text))
		}
	}
	return out, nil
}

// shifts reports whether the header at i, having this value, and a header after
// it could be cut at another place with the same signed bytes.
func (t template) shifts(i int, value string) bool {
	return i+1 < len(t) && t[i+1:].count(kindHeader) > 0 && strings.Contains(value, t[i+1].text)
}

// onSample returns, in quotes, what the template gives on a sample call.
func (t template) onSample() string {
	header := http.Header{}
	for _, name := range t.headers() {
		header.Set(name, "sample")
	}
	b, err := t.bytes(head{timestamp: "1700000000"}, Request{Header: header, URL: sampleURL, Body: []byte(`{"id":"1"}`)})
	if err != nil {
		return "nothing"
	}
	return fmt.Sprintf("%q", b)
}
