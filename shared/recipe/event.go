package recipe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"hookferry/shared/generation"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

const maxDepth = 8

// A pointer is a JSON pointer (RFC 6901), its segments unescaped.
type pointer []string

func parsePointer(text string) (pointer, string) {
	if !strings.HasPrefix(text, "/") {
		return nil, "must be a JSON pointer that begins with /"
	}
	if !printable(text) || strings.ContainsAny(text, "{}") {
		return nil, "must be a JSON pointer of printable ASCII characters without braces"
	}
	segments := strings.Split(text[1:], "/")
	if len(segments) > maxDepth {
		return nil, fmt.Sprintf("must be a JSON pointer of at most %d segments", maxDepth)
	}
	for i, s := range segments {
		plain := strings.NewReplacer("~0", "", "~1", "").Replace(s)
		if strings.Contains(plain, "~") {
			return nil, "must be a JSON pointer, where ~ is written ~0 and / is written ~1"
		}
		segments[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return segments, ""
}

// find returns the raw value that p points at, or nil. A field on the way that
// is there twice is an error, because two readers would see two events.
func (p pointer) find(body []byte) ([]byte, error) {
	raw := body
	for _, segment := range p {
		fields, err := rawjson.Fields(raw, segment)
		switch {
		case err == nil:
			raw = fields[0]
		case errors.Is(err, rawjson.ErrNotObject):
			raw = element(raw, segment)
		default:
			return nil, fmt.Errorf("%w: %w", ErrEvent, err)
		}
		if raw == nil {
			return nil, nil
		}
	}
	return raw, nil
}

// element returns the element of the array raw that segment counts, or nil.
func element(raw []byte, segment string) []byte {
	index, err := strconv.Atoi(segment)
	if err != nil || index < 0 || strconv.Itoa(index) != segment {
		return nil
	}
	var found []byte
	rawjson.Elements(raw, func(e []byte) bool {
		if index == 0 {
			found = e
		}
		index--
		return index >= 0
	})
	return found
}

// scalar returns the text of a string, number or truth value; false for others.
func scalar(raw []byte) (string, bool) {
	if rawjson.IsNull(raw) || raw[0] == '{' || raw[0] == '[' {
		return "", false
	}
	if raw[0] == '"' {
		return rawjson.String(raw)
	}
	return string(raw), true
}

func checkBody(body []byte) error {
	if !rawjson.Valid(body) {
		return fmt.Errorf("%w: its body is %w", ErrEvent, rawjson.ErrInvalid)
	}
	if _, err := rawjson.Fields(body); err != nil {
		return fmt.Errorf("%w: its body is %w", ErrEvent, err)
	}
	return nil
}

// text fills in the template of id, type or subject. ErrEvent if something that
// it names is not in the call.
func (t template) text(req Request, field string) (string, error) {
	var out strings.Builder
	for _, p := range t {
		switch p.kind {
		case kindHeader:
			value, err := one(req.Header, p.text)
			if err != nil {
				return "", fmt.Errorf("%w: its %s cannot be read: %w", ErrEvent, field, err)
			}
			out.WriteString(value)
		case kindPointer:
			raw, err := p.pointer.find(req.Body)
			if err != nil {
				return "", err
			}
			value, ok := scalar(raw)
			if !ok || value == "" {
				return "", fmt.Errorf("%w: its %s is missing, there is no %s in the body", ErrEvent, field, p.text)
			}
			out.WriteString(value)
		default:
			out.WriteString(p.text)
		}
	}
	return out.String(), nil
}

// eventType returns the event's type: lower-case, with _ for each character that
// no type has, and with the preset's or source's name before it if it has no dot.
//
// Where the recipe names a provider of generations and the body is one, the type
// is that of the generation, whatever the template says.
func (r *Recipe) eventType(req Request) (string, error) {
	if r.wire.Generation != "" {
		typ, err := generation.Type(r.wire.Generation, req.Body)
		if err == nil {
			return typ, nil
		}
		if !errors.Is(err, generation.ErrNone) {
			return "", fmt.Errorf("%w: %w", ErrEvent, err)
		}
	}
	text, err := r.typ.text(req, "type")
	if err != nil {
		if r.fallback == "" {
			return "", err
		}
		text = r.fallback
	}
	typ := clean(text, true)
	if !strings.Contains(typ, ".") {
		typ = r.name(req.Source) + "." + typ
	}
	if relay.ReservedType(typ) || strings.HasPrefix(typ, "generation.") {
		return "", fmt.Errorf("%w: its type begins with a word that is kept for Hookferry's own events", ErrEvent)
	}
	if !relay.ValidEventType(typ) {
		return "", fmt.Errorf("%w: its type does not become a name like order.paid", ErrEvent)
	}
	return typ, nil
}

// name returns the word before a type without a dot. A source whose name gives no
// such word, or one that is kept, has hmac.
func (r *Recipe) name(source string) string {
	if r.wire.Preset != "" {
		return clean(r.wire.Preset, false)
	}
	name := strings.TrimLeft(clean(source, false), "_0123456789")
	if name == "" || relay.ReservedType(name+".") || name == "generation" {
		return "hmac"
	}
	return name
}

// clean makes lower-case letters, digits, _ and, where they may stay, dots of a
// text: each other character becomes one _.
func clean(text string, dots bool) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' && dots:
			return c
		}
		return '_'
	}, text)
}

// eventSubject returns the subject; empty if there is none in the call, or one
// that relay.ValidSubject refuses.
func (r *Recipe) eventSubject(req Request) (string, error) {
	if r.subject == nil {
		return "", nil
	}
	for _, p := range r.subject {
		if p.kind != kindPointer {
			continue
		}
		if _, err := p.pointer.find(req.Body); err != nil { // a field twice
			return "", err
		}
	}
	text, err := r.subject.text(req, "subject")
	if err != nil {
		return "", nil //nolint:nilerr // An event without a subject is an event.
	}
	if !relay.ValidSubject(text) {
		return "", nil
	}
	return text, nil
}
