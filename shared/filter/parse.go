package filter

import (
	"fmt"
	"slices"
)

// An object is the conditions of a pattern on one object of the body. All of
// fields must hold, and one of alternatives if there are any.
type object struct {
	fields       []field
	alternatives []*object
}

// A field is what a pattern says about one name: a clause on its value, or
// conditions on the object that the value is.
type field struct {
	name   string
	clause *clause // or nil
	child  *object // or nil
}

// A clause is an array of a pattern: it holds if one of its rules does.
type clause struct {
	names  []string // that lead to the value
	path   string
	text   string // the array in its canonical form
	rules  []rule
	absent bool // it holds where there is no value
}

// A parser counts what a pattern may have only so much of.
type parser struct{ leaves, stars int }

func tooDeep(path string) *Error {
	return &Error{path, fmt.Sprintf("the pattern is nested deeper than %d levels", MaxLevels)}
}

// object reads the conditions of t, which stands at path in the pattern and
// speaks about what names lead to in the body.
func (p *parser) object(t tree, path string, names []string, level int) (*object, error) {
	if t.kind != kindObject {
		return nil, &Error{path, "must be an object, but is " + t.kind.String()}
	}
	if level > MaxLevels {
		return nil, tooDeep(path)
	}
	if len(t.members) == 0 {
		return nil, &Error{path, "the object has no conditions"}
	}
	o := &object{}
	for _, m := range t.members {
		at := dot(path, m.name)
		if m.name == "$or" {
			alternatives, err := p.or(m.tree, at, names, level)
			if err != nil {
				return nil, err
			}
			o.alternatives = alternatives
			continue
		}
		f := field{name: m.name}
		below := append(slices.Clip(names), m.name)
		var err error
		switch m.tree.kind {
		case kindObject:
			f.child, err = p.object(m.tree, at, below, level+1)
		case kindArray:
			f.clause, err = p.clause(m.tree, at, below)
		default:
			err = &Error{at, "must be an array of values or an object, but is " + m.tree.kind.String()}
		}
		if err != nil {
			return nil, err
		}
		o.fields = append(o.fields, f)
	}
	return o, nil
}

func (p *parser) or(t tree, path string, names []string, level int) ([]*object, error) {
	if t.kind != kindArray || len(t.elements) < 2 {
		return nil, &Error{path, "must be an array of at least two objects"}
	}
	var alternatives []*object
	for i, e := range t.elements {
		o, err := p.object(e, index(path, i), names, level+1)
		if err != nil {
			return nil, err
		}
		alternatives = append(alternatives, o)
	}
	return alternatives, nil
}

func (p *parser) clause(t tree, path string, names []string) (*clause, error) {
	if len(t.elements) == 0 {
		return nil, &Error{path, "the array has no values"}
	}
	c := &clause{names: names, path: "$", text: string(t.appendTo(nil))}
	for _, name := range names {
		c.path = dot(c.path, name)
	}
	for i, e := range t.elements {
		r, err := p.entry(e, index(path, i))
		if err != nil {
			return nil, err
		}
		c.absent = c.absent || r.op == opAbsent
		c.rules = append(c.rules, r)
	}
	return c, nil
}

// entry reads one entry of a clause: a value or a rule.
func (p *parser) entry(t tree, path string) (rule, error) {
	switch t.kind {
	case kindObject:
		return p.rule(t, path)
	case kindArray:
		return rule{}, &Error{path, "must be a value or a rule, but is an array"}
	}
	return p.value(t, path)
}

// value reads a value that the body's must be equal to.
func (p *parser) value(t tree, path string) (rule, error) {
	if err := p.leaf(path); err != nil {
		return rule{}, err
	}
	switch t.kind {
	case kindString:
		return rule{op: opEqual, text: t.text}, nil
	case kindNumber:
		d, err := patternNumber(t, path)
		return rule{op: opNumeric, low: d, high: d, from: true, to: true, lowIn: true, highIn: true}, err
	}
	return rule{op: opKind, kind: t.kind}, nil
}

func (p *parser) leaf(path string) error {
	if p.leaves++; p.leaves > MaxLeaves {
		return &Error{path, fmt.Sprintf("the pattern has more than %d values and rules", MaxLeaves)}
	}
	return nil
}
