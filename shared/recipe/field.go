package recipe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A FieldError is why Parse refuses a recipe. Its message is one sentence.
type FieldError struct {
	// Field is the path of the field at fault, such as signature.header, or
	// recipe if it is the whole.
	Field string
	// Problem is the rest of the sentence.
	Problem string
	// Sample is, in quotes, what the recipe would sign on a sample call; empty if
	// its signed cannot be read.
	Sample string
}

// Error returns the sentence.
func (e *FieldError) Error() string {
	if e.Sample == "" {
		return e.Field + " " + e.Problem + "."
	}
	return e.Field + " " + e.Problem + "; of a sample call it would sign " + e.Sample + "."
}

// An object is a JSON object being read. The first fault of it or of an object
// within it is kept, and nothing after it counts.
type object struct {
	path   string
	fields map[string]json.RawMessage
	fault  **FieldError
}

// openObject reads the fields of raw, which must be valid JSON. A field that is
// none of names, or is there twice, is a fault; one that is null is left out.
func openObject(raw []byte, path string, fault **FieldError, names ...string) object {
	o := object{path: path, fields: map[string]json.RawMessage{}, fault: fault}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		o.fail("", "must be a JSON object")
		return o
	}
	for dec.More() {
		key, err := dec.Token()
		name, _ := key.(string)
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			o.fail("", "must be a JSON object")
			return o
		}
		_, twice := o.fields[name]
		switch {
		case !slices.Contains(names, name):
			o.fail(shown(name), "is no field of a recipe; known here are "+strings.Join(names, ", "))
		case twice:
			o.fail(name, "is there twice")
		}
		o.fields[name] = value
	}
	return o
}

// shown cuts a name that somebody else chose, so that a message stays short and
// printable.
func shown(name string) string {
	if len(name) > 40 {
		name = name[:40]
	}
	quoted := strconv.QuoteToASCII(name)
	return quoted[1 : len(quoted)-1]
}

func (o object) fail(name, problem string) {
	if *o.fault != nil {
		return
	}
	field := strings.Trim(o.path+"."+name, ".")
	if field == "" {
		field = "recipe"
	}
	*o.fault = &FieldError{Field: field, Problem: problem}
}

func (o object) failf(name, format string, args ...any) { o.fail(name, fmt.Sprintf(format, args...)) }

func (o object) has(name string) bool {
	raw, ok := o.fields[name]
	return ok && string(raw) != "null"
}

// text returns a string of at most limit bytes; empty if it is absent.
func (o object) text(name string, limit int) string {
	if !o.has(name) {
		return ""
	}
	var s string
	if json.Unmarshal(o.fields[name], &s) != nil {
		o.fail(name, "must be a string")
		return ""
	}
	if len(s) > limit {
		o.failf(name, "must have at most %d bytes", limit)
		return ""
	}
	return s
}

// need is text that must be there.
func (o object) need(name string, limit int) string {
	s := o.text(name, limit)
	if s == "" {
		o.fail(name, "must be given")
	}
	return s
}

// choice returns one of allowed, or absent if there is none.
func (o object) choice(name, absent string, allowed ...string) string {
	s := o.text(name, 64)
	if s == "" {
		s = absent
	}
	if !slices.Contains(allowed, s) {
		o.fail(name, "must be one of "+strings.Join(allowed, ", "))
	}
	return s
}

// number returns an integer between low and high, or absent if there is none.
func (o object) number(name string, absent, low, high int) int {
	if !o.has(name) {
		return absent
	}
	var f float64
	if json.Unmarshal(o.fields[name], &f) != nil || f != float64(int(f)) || int(f) < low || int(f) > high {
		o.failf(name, "must be an integer from %d to %d", low, high)
		return absent
	}
	return int(f)
}

// header returns the name of a header.
func (o object) header(name string) string {
	s := o.need(name, MaxHeaderName)
	if problem := headerProblem(s); s != "" && problem != "" {
		o.fail(name, problem)
	}
	return s
}

// item returns the mark of a part of a header.
func (o object) item(name string) string {
	s := o.text(name, 32)
	for i := range len(s) {
		if !isWord(s[i]) {
			o.fail(name, "must be made of letters, digits, - and _")
			break
		}
	}
	return s
}

// child opens an object within.
func (o object) child(name string, names ...string) object {
	path := strings.Trim(o.path+"."+name, ".")
	return openObject(o.fields[name], path, o.fault, names...)
}
