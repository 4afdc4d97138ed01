package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

// maxDepth is how deep arrays and objects of a body may be nested.
const maxDepth = 100

// readBody returns the request's body, at most 256 KiB of it. Nil means that
// there is none.
func (c *call) readBody() ([]byte, error) {
	if c.r.ContentLength > relay.MaxPayload {
		return nil, tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, relay.MaxPayload))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, &relay.Error{Kind: relay.KindValidation, Detail: "The body ended before all of it was read.", Err: err}
	}
	return body, nil
}

// object reads the body as a JSON object; no body is an empty one.
func (c *call) object() (*object, error) {
	if c.r.ContentLength > 0 && !declaredJSON(c.r.Header) {
		return nil, notJSON()
	}
	body, err := c.readBody()
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return &object{}, nil
	}
	if !declaredJSON(c.r.Header) {
		return nil, notJSON()
	}
	return parseObject(body)
}

func notJSON() *relay.Error {
	return &relay.Error{Kind: relay.KindUnsupportedMediaType, Detail: "The body must be JSON in UTF-8: send Content-Type: application/json."}
}

func declaredJSON(h http.Header) bool {
	typ, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || typ != "application/json" && !(strings.HasPrefix(typ, "application/") && strings.HasSuffix(typ, "+json")) {
		return false
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	encoding := h.Get("Content-Encoding")
	return encoding == "" || strings.EqualFold(encoding, "identity")
}

// An object is the JSON object of a body whose fields are taken one by one. It
// keeps the first thing that is wrong until done asks for it.
type object struct {
	body   []byte // as it came
	fields map[string]json.RawMessage
	names  []string // in order of appearance
	err    error
}

// parseObject reads one JSON object and nothing after it. Names are matched
// exactly, and none may occur twice in one object, however deep.
func parseObject(body []byte) (*object, error) {
	if !utf8.Valid(body) {
		return nil, relay.Invalid("", "The body is not UTF-8.")
	}
	if tooDeep(body) {
		return nil, relay.Invalid("", "The body is nested more than %d levels deep.", maxDepth)
	}
	o := &object{body: body, fields: map[string]json.RawMessage{}}
	dec := json.NewDecoder(bytes.NewReader(body))
	wrong := func() error {
		return relay.Invalid("", "The body is not valid JSON near byte %d.", dec.InputOffset())
	}
	start, err := dec.Token()
	if err != nil {
		return nil, wrong()
	}
	if start != json.Delim('{') {
		return nil, relay.Invalid("", "The body must be a JSON object.")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, wrong()
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, wrong()
		}
		text := name.(string)
		o.names = append(o.names, text)
		o.fields[text] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, wrong()
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, relay.Invalid("", "Something follows the JSON object at byte %d.", dec.InputOffset())
	}
	// Two readers of one body must not see two different things, at any depth:
	// what is published is read by others.
	if path, twice := rawjson.Duplicate(body); twice {
		path = relay.Printable(cut(path, 128))
		return nil, relay.Invalid(path, "The field %q is given twice.", path)
	}
	return o, nil
}

// tooDeep looks at brackets outside of strings alone, so that what is nested
// without end is refused before anything recursive reads it.
func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

// A parser reads the value of a field that an error calls param.
type parser[T any] func(param string, raw json.RawMessage) (T, error)

// field takes the field of this name: nil if it is absent or wrong.
func field[T any](o *object, name string, parse parser[T]) *T {
	raw, ok := o.fields[name]
	if !ok {
		return nil
	}
	delete(o.fields, name)
	v, err := parse(name, raw)
	if err != nil {
		o.fail(err)
		return nil
	}
	return &v
}

// need takes a field that must be there.
func need[T any](o *object, name string, parse parser[T]) T {
	if _, ok := o.fields[name]; !ok {
		o.fail(relay.Invalid(name, "%s is missing.", name))
	}
	var zero T
	if v := field(o, name, parse); v != nil {
		return *v
	}
	return zero
}

// refuse takes a field that must not be there.
func (o *object) refuse(name, why string) {
	if _, ok := o.fields[name]; ok {
		delete(o.fields, name)
		o.fail(relay.Invalid(name, "%s", why))
	}
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// done returns what is wrong: fields that nobody took, else the first failure.
func (o *object) done() error {
	var unknown []string
	for _, name := range o.names {
		if _, left := o.fields[name]; left {
			unknown = append(unknown, relay.Printable(cut(name, 64)))
		}
	}
	switch {
	case len(unknown) == 0:
		return o.err
	case len(unknown) == 1:
		return relay.Invalid(unknown[0], "The field %q is not known here, or cannot be set.", unknown[0])
	}
	list := fmt.Sprintf("%q", unknown[:min(len(unknown), 10)])
	return relay.Invalid(unknown[0], "These fields are not known here, or cannot be set: %s.", list[1:len(list)-1])
}

// cut shortens s to at most n bytes, at the end of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func aString(param string, raw json.RawMessage) (string, error) {
	var s string
	if isNull(raw) || json.Unmarshal(raw, &s) != nil {
		return "", relay.Invalid(param, "%s must be a string.", param)
	}
	return s, nil
}

// aLine reads text for people: 1 to 100 characters, none of them a control
// character, not blank.
func aLine(param string, raw json.RawMessage) (string, error) {
	s, err := aString(param, raw)
	if err != nil {
		return "", err
	}
	if n := utf8.RuneCountInString(s); n < 1 || n > 100 || strings.TrimSpace(s) == "" || relay.Printable(s) != s {
		return "", relay.Invalid(param, "%s must have 1 to 100 characters, no control characters, and not be blank.", param)
	}
	return s, nil
}

// ascii reads lo to hi characters of ASCII from first to ~.
func ascii(lo, hi int, first byte) parser[string] {
	return func(param string, raw json.RawMessage) (string, error) {
		s, err := aString(param, raw)
		if err != nil {
			return "", err
		}
		if len(s) < lo || len(s) > hi || !asciiFrom(s, first) {
			return "", relay.Invalid(param, "%s must be %d to %d printable ASCII characters.", param, lo, hi)
		}
		return s, nil
	}
}

func asciiFrom(s string, first byte) bool {
	for i := range len(s) {
		if s[i] < first || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func anInteger(lo, hi int) parser[int] {
	return func(param string, raw json.RawMessage) (int, error) {
		n, ok := wholeNumber(string(raw))
		if !ok || n < int64(lo) || n > int64(hi) {
			return 0, relay.Invalid(param, "%s must be a whole number from %d to %d.", param, lo, hi)
		}
		return int(n), nil
	}
}

// wholeNumber reads a JSON number that is a whole one in any of its forms, such
// as 1068, 1068.0 and 1e2, exactly: nothing is rounded.
func wholeNumber(raw string) (int64, bool) {
	const longest, largestExponent = 64, 40
	if len(raw) == 0 || len(raw) > longest || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	if i := strings.IndexAny(raw, "eE"); i >= 0 {
		if e, err := strconv.Atoi(raw[i+1:]); err != nil || e > largestExponent || e < -largestExponent {
			return 0, false
		}
	}
	r, ok := new(big.Rat).SetString(raw)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// oneOf reads one of a few words.
func oneOf[T ~string](words ...T) parser[T] {
	return func(param string, raw json.RawMessage) (T, error) {
		s, err := aString(param, raw)
		if err == nil {
			for _, w := range words {
				if s == string(w) {
					return w, nil
				}
			}
			err = relay.Invalid(param, "%s must be one of %s.", param, wordList(words))
		}
		return "", err
	}
}

func wordList[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// listOf reads an array of lo to hi values; a value that is there twice is kept
// once.
func listOf[T comparable](lo, hi int, each parser[T]) parser[[]T] {
	return func(param string, raw json.RawMessage) ([]T, error) {
		var raws []json.RawMessage
		if isNull(raw) || json.Unmarshal(raw, &raws) != nil {
			return nil, relay.Invalid(param, "%s must be an array.", param)
		}
		if len(raws) < lo || len(raws) > hi {
			return nil, relay.Invalid(param, "%s must have %d to %d entries.", param, lo, hi)
		}
		values, seen := make([]T, 0, len(raws)), map[T]bool{}
		for i, r := range raws {
			v, err := each(fmt.Sprintf("%s[%d]", param, i), r)
			if err != nil {
				return nil, err
			}
			if !seen[v] {
				seen[v] = true
				values = append(values, v)
			}
		}
		return values, nil
	}
}

// orNull reads null as the zero value.
func orNull[T any](parse parser[T]) parser[T] {
	return func(param string, raw json.RawMessage) (v T, err error) {
		if isNull(raw) {
			return v, nil
		}
		return parse(param, raw)
	}
}

func anInstant(param string, raw json.RawMessage) (time.Time, error) {
	s, err := aString(param, raw)
	if err != nil {
		return time.Time{}, err
	}
	return parseInstant(param, s)
}

func parseInstant(param, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1970 || t.UTC().Year() > 9999 || t.Unix() < 0 {
		return time.Time{}, relay.Invalid(param, "%s must be a time like 2026-05-11T00:00:00Z (RFC 3339; in a query, + is written %%2B).", param)
	}
	return relay.Millis(t), nil
}
