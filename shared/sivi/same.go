package sivi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
)

// Same reports whether a webhook call's body says the same as Sivi's own answer:
// the same fields with equal JSON values, at every depth and in any order.
// complete and completed are one word, and queueWaitTime, which changes from one
// question to the next, does not count. A body in which a field occurs twice is
// the same as nothing, because two readers may take it for two different ones.
// Both must be bodies that Parse takes.
func Same(call, answer []byte) bool {
	a, errA := decode(call)
	b, errB := decode(answer)
	if errA != nil || errB != nil {
		return false
	}
	for _, doc := range []map[string]any{a, b} {
		if inner, ok := doc["body"].(map[string]any); ok {
			delete(inner, "queueWaitTime")
			if inner["status"] == "completed" {
				inner["status"] = "complete"
			}
		}
	}
	return equal(a, b)
}

var errTwice = errors.New("a field occurs twice")

func decode(body []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	v, err := value(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("no object")
	}
	return doc, nil
}

// value reads one value, as json.Unmarshal would into an any, but refuses names
// that occur twice.
func value(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			text := name.(string) // the decoder gives no other
			if _, twice := object[text]; twice {
				return nil, errTwice
			}
			if object[text], err = value(dec); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := value(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	}
	return token, nil
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, v := range a {
			if w, there := b[name]; !there || !equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || sameNumber(a, b))
	}
	return a == b
}

// maxDigits bounds the numbers that are compared by value and not by their text,
// so that an exponent costs nothing.
const maxDigits = 40

func sameNumber(a, b json.Number) bool {
	if len(a) > maxDigits || len(b) > maxDigits || bytes.ContainsAny([]byte(a+b), "eE") {
		return false
	}
	x, okA := new(big.Rat).SetString(a.String())
	y, okB := new(big.Rat).SetString(b.String())
	return okA && okB && x.Cmp(y) == 0
}
