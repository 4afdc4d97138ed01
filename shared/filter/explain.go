package filter

import (
	"fmt"
	"strings"

	"hookferry/shared/rawjson"
)

// An Explanation says why a pattern lets a body through or does not.
type Explanation struct {
	Matched  bool
	Clauses  []Clause // in the order of the canonical form, those of $or too
	Sentence string   // one plain sentence for a reader
}

// A Clause is one array of a pattern and what it was asked about.
type Clause struct {
	Path  string // in the body, such as $.data.total
	Rule  string // the array of the pattern, in its canonical form
	Value string // JSON at Path; see Explain
	Held  bool   // this clause alone
}

// Explain matches body as Match does, with the same errors, and says how each
// clause fared. The value of a clause is the JSON text at its path, cut to 128
// characters; empty if there is nothing; and if the path leads through an array
// to several values, all of them in brackets. Explain is slower than Match, by
// about one reading of the body for each clause.
func (p *Pattern) Explain(body []byte) (Explanation, error) {
	clauses := p.root.clauses(nil)
	roots := []*object{p.root}
	for _, c := range clauses {
		roots = append(roots, c.alone())
	}
	held, err := newSet(roots).Match(body, nil)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Matched: held[0], Clauses: make([]Clause, len(clauses))}
	results := make(map[*clause]*Clause, len(clauses))
	for i, c := range clauses {
		e.Clauses[i] = Clause{Path: c.path, Rule: c.text, Value: show(body, c.names), Held: held[i+1]}
		results[c] = &e.Clauses[i]
	}
	e.Sentence = p.root.sentence(e.Matched, results)
	return e, nil
}

// clauses appends the clauses of o, in order.
func (o *object) clauses(to []*clause) []*clause {
	for _, a := range o.alternatives {
		to = a.clauses(to)
	}
	for _, f := range o.fields {
		if f.clause != nil {
			to = append(to, f.clause)
			continue
		}
		to = f.child.clauses(to)
	}
	return to
}

// alone returns the pattern that has nothing but c.
func (c *clause) alone() *object {
	last := len(c.names) - 1
	o := &object{fields: []field{{name: c.names[last], clause: c}}}
	for i := last - 1; i >= 0; i-- {
		o = &object{fields: []field{{name: c.names[i], child: o}}}
	}
	return o
}

// sentence says why the pattern o matched or did not.
func (o *object) sentence(matched bool, results map[*clause]*Clause) string {
	if matched {
		return "The body meets the filter."
	}
	failed, more := o.failed(results)
	if failed == nil {
		if at := o.noAlternative("$", results); at != "" {
			return fmt.Sprintf("None of the alternatives of $or at %s holds.", at)
		}
		return "Each condition holds somewhere in the body, but no single object meets all that belong together."
	}
	what := "there is no such value"
	if failed.Value != "" {
		what = "the body has " + failed.Value
	}
	text := fmt.Sprintf("%s must be one of %s, but %s", failed.Path, cut(failed.Rule), what)
	switch {
	case more == 1:
		text += ", and one more condition does not hold"
	case more > 1:
		text += fmt.Sprintf(", and %d more conditions do not hold", more)
	}
	return text + "."
}

// failed returns the first clause of o outside of $or that does not hold, and
// how many more there are.
func (o *object) failed(results map[*clause]*Clause) (first *Clause, more int) {
	required := &object{}
	required.require(o)
	for _, c := range required.clauses(nil) {
		switch {
		case results[c].Held:
		case first == nil:
			first = results[c]
		default:
			more++
		}
	}
	return first, more
}

// require adds to o the clauses of other that every match must meet.
func (o *object) require(other *object) {
	for _, f := range other.fields {
		if f.clause != nil {
			o.fields = append(o.fields, f)
			continue
		}
		o.require(f.child)
	}
}

// noAlternative returns where in o there is an $or with a failed clause in each
// of its alternatives, or "".
func (o *object) noAlternative(path string, results map[*clause]*Clause) string {
	open := len(o.alternatives) == 0
	for _, a := range o.alternatives {
		first, _ := a.failed(results)
		open = open || first == nil && a.noAlternative(path, results) == ""
	}
	if !open {
		return path
	}
	for _, f := range o.fields {
		if f.child == nil {
			continue
		}
		if at := f.child.noAlternative(dot(path, f.name), results); at != "" {
			return at
		}
	}
	return ""
}

// show returns what names lead to in body, which is a valid object.
func show(body []byte, names []string) string {
	found := follow(body, names, nil)
	switch len(found) {
	case 0:
		return ""
	case 1:
		return cut(found[0])
	}
	return cut("[" + strings.Join(found, ",") + "]")
}

// follow appends what names lead to from value on, as far as it will be shown.
func follow(value []byte, names []string, to []string) []string {
	if len(to) > maxShown {
		return to
	}
	if len(names) == 0 {
		return append(to, cut(string(value)))
	}
	switch value[0] {
	case '[':
		rawjson.Elements(value, func(e []byte) bool {
			to = follow(e, names, to)
			return len(to) <= maxShown
		})
	case '{', ' ', '\t', '\n', '\r':
		if v := last(value, names[0]); v != nil {
			return follow(v, names[1:], to)
		}
	}
	return to
}

// last returns the last value of name in the valid object, or nil.
func last(value []byte, name string) (found []byte) {
	s := scan{body: value}
	s.space()
	for !s.at('}') {
		s.i++ // the brace or comma
		if s.space(); s.at('}') {
			break
		}
		start := s.i
		escaped, _ := s.text()
		is := string(unquote(value[start:s.i], escaped)) == name
		s.space()
		s.i++ // the colon
		s.space()
		start = s.i
		s.value(nil)
		if is {
			found = value[start:s.i]
		}
		s.space()
	}
	return found
}
