package filter

import (
	"fmt"
	"strings"
)

// rule reads a rule, an object of one member.
func (p *parser) rule(t tree, path string) (rule, error) {
	if len(t.members) != 1 {
		return rule{}, &Error{path, fmt.Sprintf("a rule has exactly one name, this one has %d", len(t.members))}
	}
	name, v := t.members[0].name, t.members[0].tree
	at := dot(path, name)
	if name == "anything-but" {
		return p.anythingBut(v, at)
	}
	if err := p.leaf(path); err != nil {
		return rule{}, err
	}
	switch name {
	case "prefix", "suffix":
		if v.kind != kindObject {
			return p.stringRule(name, v, at)
		}
		if len(v.members) != 1 || v.members[0].name != "equals-ignore-case" {
			return rule{}, &Error{at, "must be a string or an object with equals-ignore-case alone"}
		}
		return p.stringRule(name+" ignoring case", v.members[0].tree, dot(at, "equals-ignore-case"))
	case "equals-ignore-case", "wildcard":
		return p.stringRule(name, v, at)
	case "numeric":
		return numeric(v, at)
	case "exists":
		switch v.kind {
		case kindTrue:
			return rule{op: opPresent}, nil
		case kindFalse:
			return rule{op: opAbsent}, nil
		}
		return rule{}, &Error{at, "must be true or false, but is " + v.kind.String()}
	}
	return rule{}, &Error{at, "is not a known rule; the rules are prefix, suffix, equals-ignore-case, anything-but, numeric, exists and wildcard"}
}

// stringRule reads a rule that compares with one string.
func (p *parser) stringRule(name string, t tree, path string) (rule, error) {
	if t.kind != kindString {
		return rule{}, &Error{path, "must be a string, but is " + t.kind.String()}
	}
	switch name {
	case "prefix":
		return rule{op: opPrefix, text: t.text}, nil
	case "suffix":
		return rule{op: opSuffix, text: t.text}, nil
	case "prefix ignoring case":
		return rule{op: opFoldPrefix, folded: foldAll(t.text)}, nil
	case "suffix ignoring case":
		return rule{op: opFoldSuffix, folded: foldAll(t.text)}, nil
	case "equals-ignore-case":
		return rule{op: opFoldEqual, folded: foldAll(t.text)}, nil
	}
	pieces, problem := wildcard(t.text)
	if problem != "" {
		return rule{}, &Error{path, problem}
	}
	if p.stars += len(pieces) - 1; p.stars > MaxStars {
		return rule{}, &Error{path, fmt.Sprintf("the pattern has more than %d stars", MaxStars)}
	}
	return rule{op: opWildcard, pieces: pieces}, nil
}

// wildcard splits text at its stars. \* and \\ stand for a star and a backslash.
func wildcard(text string) (pieces [][]byte, problem string) {
	piece := []byte{}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*':
			if len(piece) == 0 && len(pieces) > 0 {
				return nil, "two stars may not follow each other"
			}
			pieces, piece = append(pieces, piece), []byte{}
		case '\\':
			if i++; i == len(text) || text[i] != '*' && text[i] != '\\' {
				return nil, `a backslash must stand before a star or another backslash`
			}
			piece = append(piece, text[i])
		default:
			piece = append(piece, c)
		}
	}
	return append(pieces, piece), ""
}

// anythingBut reads what a value must not be: one value or rule, or a list.
func (p *parser) anythingBut(t tree, path string) (rule, error) {
	name := ""
	if t.kind == kindObject {
		if len(t.members) != 1 {
			return rule{}, &Error{path, fmt.Sprintf("a rule has exactly one name, this one has %d", len(t.members))}
		}
		name = t.members[0].name
		path, t = dot(path, name), t.members[0].tree
		switch name {
		case "prefix", "suffix", "equals-ignore-case", "wildcard":
		default:
			return rule{}, &Error{path, "anything-but takes values, prefix, suffix, equals-ignore-case and wildcard"}
		}
	}
	r := rule{op: opNone}
	if t.kind != kindArray {
		but, err := p.but(name, t, path)
		r.but = []rule{but}
		return r, err
	}
	if len(t.elements) == 0 {
		return rule{}, &Error{path, "the array has no values"}
	}
	for i, e := range t.elements {
		but, err := p.but(name, e, index(path, i))
		if err != nil {
			return rule{}, err
		}
		if e.kind != t.elements[0].kind {
			return rule{}, &Error{index(path, i), "a list has either strings or numbers, not both"}
		}
		r.but = append(r.but, but)
	}
	return r, nil
}

// but reads one thing that a value must not be; name is "" for a plain value.
func (p *parser) but(name string, t tree, path string) (rule, error) {
	if name == "" {
		if t.kind != kindString && t.kind != kindNumber {
			return rule{}, &Error{path, "must be a string or a number, but is " + t.kind.String()}
		}
		return p.value(t, path)
	}
	if err := p.leaf(path); err != nil {
		return rule{}, err
	}
	if (name == "prefix" || name == "suffix") && t.kind == kindString && t.text == "" {
		return rule{}, &Error{path, "must not be empty, for every string has an empty " + name}
	}
	return p.stringRule(name, t, path)
}

// numeric reads a comparison such as ["=", 5] or a range such as [">", 0, "<=", 5].
func numeric(t tree, path string) (rule, error) {
	if t.kind != kindArray || len(t.elements) != 2 && len(t.elements) != 4 {
		return rule{}, &Error{path, `must be an array of a comparison and a number, or of two of each, such as [">", 0, "<=", 5]`}
	}
	r := rule{op: opNumeric}
	for i := 0; i < len(t.elements); i += 2 {
		sign := t.elements[i].text
		if t.elements[i].kind != kindString {
			sign = ""
		}
		d, err := patternNumber(t.elements[i+1], index(path, i+1))
		if err != nil {
			return rule{}, err
		}
		switch {
		case sign == "=" && len(t.elements) == 2:
			r.low, r.high, r.from, r.to, r.lowIn, r.highIn = d, d, true, true, true, true
		case (sign == ">" || sign == ">=") && i == 0:
			r.low, r.from, r.lowIn = d, true, sign == ">="
		case (sign == "<" || sign == "<=") && i == len(t.elements)-2:
			r.high, r.to, r.highIn = d, true, sign == "<="
		case !strings.Contains(" = < <= > >= ", " "+sign+" ") || sign == "":
			return rule{}, &Error{index(path, i), "must be one of =, <, <=, > and >="}
		default:
			return rule{}, &Error{index(path, i), "a range is > or >= with a number, then < or <= with a greater one"}
		}
	}
	if len(t.elements) == 4 && r.low.compare(r.high) >= 0 {
		return rule{}, &Error{index(path, 3), "the upper end of a range must be greater than the lower end"}
	}
	return r, nil
}

// patternNumber reads a number of a pattern. Its exponent is bounded so that a
// body's number with an exponent too great to be counted still compares rightly.
func patternNumber(t tree, path string) (decimal, error) {
	if t.kind != kindNumber {
		return decimal{}, &Error{path, "must be a number, but is " + t.kind.String()}
	}
	d := newDecimal([]byte(t.text))
	if n := len(d.digits) - strings.Count(string(d.digits), "."); n > MaxDigits {
		return decimal{}, &Error{path, fmt.Sprintf("the number has more than %d digits", MaxDigits)}
	}
	if d.exponent > maxExponent || d.exponent < -maxExponent {
		return decimal{}, &Error{path, fmt.Sprintf("the number is not between 1e-%d and 1e%d", maxExponent, maxExponent)}
	}
	return d, nil
}

// maxExponent bounds the power of ten of a pattern's number in both directions.
const maxExponent = 1000
