package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hookferry/shared/rawjson"
)

// A tree is the JSON of a pattern. The members of its objects are sorted by name.
type tree struct {
	kind     kind
	text     string // of a string; of a number as it was written
	elements []tree
	members  []member
}

type member struct {
	name string
	tree tree
}

// A kind is a type of JSON value.
type kind byte

const (
	kindObject kind = iota
	kindArray
	kindString
	kindNumber
	kindTrue
	kindFalse
	kindNull
)

func (k kind) String() string {
	return [...]string{"an object", "an array", "a string", "a number", "true", "false", "null"}[k]
}

const (
	// A pattern may be written with blanks and escapes, up to this length.
	maxWritten = 6 * MaxBytes
	// No pattern within MaxLevels nests deeper than this: each level may be an
	// alternative of $or in its array, and a rule has up to four more.
	maxNesting = 2*MaxLevels + 4
)

func tooLong() *Error {
	return &Error{"$", fmt.Sprintf("the pattern is longer than %d bytes", MaxBytes)}
}

func readTree(pattern []byte) (tree, error) {
	if len(pattern) > maxWritten {
		return tree{}, tooLong()
	}
	if !rawjson.Valid(pattern) {
		return tree{}, &Error{"$", "the pattern is not valid JSON in UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(pattern))
	d.UseNumber()
	return readValue(d, "$", 0)
}

func readValue(d *json.Decoder, path string, depth int) (tree, error) {
	if depth > maxNesting {
		return tree{}, tooDeep(path)
	}
	token, err := d.Token()
	if err != nil {
		return tree{}, &Error{path, "the pattern is not valid JSON in UTF-8"}
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return readObject(d, path, depth)
		}
		t := tree{kind: kindArray}
		for d.More() {
			e, err := readValue(d, index(path, len(t.elements)), depth+1)
			if err != nil {
				return tree{}, err
			}
			t.elements = append(t.elements, e)
		}
		_, err = d.Token()
		return t, err
	case string:
		return tree{kind: kindString, text: v}, nil
	case json.Number:
		return tree{kind: kindNumber, text: v.String()}, nil
	case bool:
		if v {
			return tree{kind: kindTrue}, nil
		}
		return tree{kind: kindFalse}, nil
	}
	return tree{kind: kindNull}, nil
}

func readObject(d *json.Decoder, path string, depth int) (tree, error) {
	t := tree{kind: kindObject}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return tree{}, err
		}
		name := token.(string)
		if seen[name] {
			return tree{}, &Error{dot(path, name), "the name occurs twice"}
		}
		seen[name] = true
		v, err := readValue(d, dot(path, name), depth+1)
		if err != nil {
			return tree{}, err
		}
		t.members = append(t.members, member{name, v})
	}
	slices.SortFunc(t.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	_, err := d.Token()
	return t, err
}

// appendTo writes t in its canonical form, which is never longer than what t
// was read from.
func (t tree) appendTo(b []byte) []byte {
	switch t.kind {
	case kindObject:
		b = append(b, '{')
		for i, m := range t.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, m.name), ':')
			b = m.tree.appendTo(b)
		}
		return append(b, '}')
	case kindArray:
		b = append(b, '[')
		for i, e := range t.elements {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.appendTo(b)
		}
		return append(b, ']')
	case kindString:
		return appendQuoted(b, t.text)
	case kindNumber:
		return append(b, t.text...)
	}
	return append(b, t.kind.String()...)
}

// appendQuoted writes s as a JSON string and escapes only what JSON demands.
func appendQuoted(b []byte, s string) []byte {
	const short = "\"\"\\\\\bb\ff\nn\rr\tt"
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			b = append(b, c)
			continue
		}
		if at := strings.IndexByte(short, c); at >= 0 && at%2 == 0 {
			b = append(b, '\\', short[at+1])
			continue
		}
		b = fmt.Appendf(b, `\u%04x`, c)
	}
	return append(b, '"')
}

// dot returns the path of the member name of what is at path.
func dot(path, name string) string {
	for _, r := range name {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '-' && r != '$' {
			return path + "[" + string(appendQuoted(nil, name)) + "]"
		}
	}
	if name == "" {
		return path + `[""]`
	}
	return path + "." + name
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// cut returns at most the first 128 characters of s.
func cut(s string) string {
	n := 0
	for i := range s {
		if n == maxShown {
			return s[:i]
		}
		n++
	}
	return s
}

// maxShown is the number of characters of a value that are shown.
const maxShown = 128
