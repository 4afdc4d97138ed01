// Package rawjson reads single fields of a JSON text and leaves the text as it
// is. It exists because encoding/json guesses where a relay must not: it takes
// "ID" for "id", the last of two fields of one name where other readers take
// the first, and bytes that are not UTF-8. Two readers of one body must not see
// two different events.
package rawjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The faults of a text. Their messages can be shown to whoever sent it.
var (
	ErrInvalid   = errors.New("not valid JSON in UTF-8")
	ErrNotObject = errors.New("not a JSON object")
	ErrDuplicate = errors.New("a field occurs twice")
)

// Valid reports whether body is one JSON text in UTF-8.
func Valid(body []byte) bool { return utf8.Valid(body) && json.Valid(body) }

// Fields returns the raw values of the fields of the object body, in the order
// of names; nil for one that is not there. Names are matched exactly, after
// their escapes are undone. The values are parts of body.
//
// body must be Valid. ErrNotObject; ErrDuplicate if one of names occurs twice,
// other fields may.
func Fields(body []byte, names ...string) ([][]byte, error) {
	values := make([][]byte, len(names))
	i := space(body, 0)
	if i >= len(body) || body[i] != '{' {
		return nil, ErrNotObject
	}
	for i = space(body, i+1); body[i] != '}'; i = space(body, i) {
		end := skip(body, i)
		at := indexName(body[i:end], names)
		i = space(body, end) // the colon
		start := space(body, i+1)
		i = skip(body, start)
		if at >= 0 {
			if values[at] != nil {
				return nil, fmt.Errorf("%w: %s", ErrDuplicate, names[at])
			}
			values[at] = body[start:i]
		}
		if i = space(body, i); body[i] == ',' {
			i++
		}
	}
	return values, nil
}

// Elements calls yield with the raw value of each element of the array body
// until it returns false; never if body, which must be Valid, is no array.
func Elements(body []byte, yield func(element []byte) bool) {
	i := space(body, 0)
	if i >= len(body) || body[i] != '[' {
		return
	}
	for i = space(body, i+1); body[i] != ']'; i = space(body, i) {
		end := skip(body, i)
		if !yield(body[i:end]) {
			return
		}
		if i = space(body, end); body[i] == ',' {
			i++
		}
	}
}

// String returns the text of a JSON string; false if raw, which must be nil or
// Valid, is none.
func String(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", false
	}
	return s, true
}

// IsNull reports whether raw is absent or null.
func IsNull(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }

// indexName returns the index of the name that the JSON string raw spells, or -1.
func indexName(raw []byte, names []string) int {
	text := raw[1 : len(raw)-1]
	for _, c := range text {
		if c == '\\' {
			s, _ := String(raw)
			text = []byte(s)
			break
		}
	}
	for i, name := range names {
		if string(text) == name {
			return i
		}
	}
	return -1
}

// skip returns the index after the value that begins at i of a valid text. It
// does not recurse, so depth costs nothing.
func skip(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			if depth > 0 {
				i++
				continue
			}
			for i < len(b) && !ends(b[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// ends reports whether c cannot be within a number or word.
func ends(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}
