package filter

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// referenceMatch is the plainest matcher that does what the package comment
// says: on decoded JSON, one condition after another, with rational numbers and
// regular expressions. It shares nothing with the package.
func referenceMatch(tb testing.TB, pattern, body string) bool {
	tb.Helper()
	return referenceObject(decode(tb, body).(map[string]any), decode(tb, pattern).(map[string]any))
}

func decode(tb testing.TB, text string) any {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return v
}

func referenceObject(body, pattern map[string]any) bool {
	for name, want := range pattern {
		if !referenceField(body, name, want) {
			return false
		}
	}
	return true
}

func referenceField(body map[string]any, name string, want any) bool {
	if name == "$or" {
		for _, alternative := range want.([]any) {
			if referenceObject(body, alternative.(map[string]any)) {
				return true
			}
		}
		return false
	}
	var scalars []any
	var objects []map[string]any
	if value, there := body[name]; there {
		scalars, objects = flatten(value, nil, nil)
	}
	if child, is := want.(map[string]any); is {
		if len(objects) == 0 {
			return referenceObject(map[string]any{}, child)
		}
		for _, o := range objects {
			if referenceObject(o, child) {
				return true
			}
		}
		return false
	}
	for _, entry := range want.([]any) {
		if rule, is := entry.(map[string]any); is && rule["exists"] == false {
			if len(scalars) == 0 {
				return true
			}
			continue
		}
		for _, s := range scalars {
			if referenceEntry(s, entry) {
				return true
			}
		}
	}
	return false
}

func flatten(value any, scalars []any, objects []map[string]any) ([]any, []map[string]any) {
	switch v := value.(type) {
	case map[string]any:
		return scalars, append(objects, v)
	case []any:
		for _, e := range v {
			scalars, objects = flatten(e, scalars, objects)
		}
		return scalars, objects
	}
	return append(scalars, value), objects
}

func referenceEntry(value, entry any) bool {
	rule, is := entry.(map[string]any)
	if !is {
		n, isNumber := value.(json.Number)
		m, areNumbers := entry.(json.Number)
		if isNumber && areNumbers {
			return rational(n).Cmp(rational(m)) == 0
		}
		return value == entry
	}
	text, isText := value.(string)
	for name, arg := range rule {
		switch name {
		case "exists":
			return true
		case "numeric":
			n, isNumber := value.(json.Number)
			return isNumber && referenceRange(rational(n), arg.([]any))
		case "anything-but":
			return !referenceAny(value, arg)
		case "prefix", "suffix":
			insensitive, is := arg.(map[string]any)
			if !is {
				return isText && (name == "prefix" && strings.HasPrefix(text, arg.(string)) ||
					name == "suffix" && strings.HasSuffix(text, arg.(string)))
			}
			part := insensitive["equals-ignore-case"].(string)
			runes, n := []rune(text), utf8.RuneCountInString(part)
			if !isText || len(runes) < n {
				return false
			}
			if name == "prefix" {
				return strings.EqualFold(string(runes[:n]), part)
			}
			return strings.EqualFold(string(runes[len(runes)-n:]), part)
		case "equals-ignore-case":
			return isText && strings.EqualFold(text, arg.(string))
		case "wildcard":
			return isText && wildcardExpression(arg.(string)).MatchString(text)
		}
	}
	panic("an unknown rule")
}

// referenceAny reports whether value is one of what anything-but excludes.
func referenceAny(value, arg any) bool {
	if rule, is := arg.(map[string]any); is {
		for name, args := range rule {
			list, isList := args.([]any)
			if !isList {
				list = []any{args}
			}
			for _, a := range list {
				if referenceEntry(value, map[string]any{name: a}) {
					return true
				}
			}
		}
		return false
	}
	list, isList := arg.([]any)
	if !isList {
		list = []any{arg}
	}
	for _, a := range list {
		if referenceEntry(value, a) {
			return true
		}
	}
	return false
}

func referenceRange(n *big.Rat, args []any) bool {
	for i := 0; i < len(args); i += 2 {
		c := n.Cmp(rational(args[i+1].(json.Number)))
		ok := map[string]bool{"=": c == 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}
		if !ok[args[i].(string)] {
			return false
		}
	}
	return true
}

func rational(n json.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		panic("no number: " + n.String())
	}
	return r
}

func wildcardExpression(text string) *regexp.Regexp {
	expression := `(?s)\A`
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '*':
			expression += ".*"
		case '\\':
			i++
			expression += regexp.QuoteMeta(text[i : i+1])
		default:
			_, size := utf8.DecodeRuneInString(text[i:])
			expression += regexp.QuoteMeta(text[i : i+size])
			i += size - 1
		}
	}
	return regexp.MustCompile(expression + `\z`)
}
