// Package filter decides whether a JSON body is one that an endpoint asked for.
// A filter is an event pattern as Amazon EventBridge has them: an object with
// the names of the body, and for each an array of the values that will do.
//
//	{"data": {"status": ["paid", {"prefix": "refund"}], "total": [{"numeric": [">", 100]}]}}
//
// Every field of a pattern must hold; a field holds if one entry of its array
// does. The rules are prefix, suffix, equals-ignore-case (also inside of prefix
// and suffix), anything-but, numeric, exists, wildcard, and $or between objects.
//
// What a pattern says about arrays and absence:
//
//   - A field whose value is an array holds if any element of it does, and
//     anything-but then means that some element is different.
//   - Where the body has an array of objects, the conditions inside of one
//     object of the pattern must hold together on one of those objects. That
//     includes exists: false, which asks about the same object as its siblings.
//   - exists asks for a string, number, true, false or null. An object, an empty
//     array and an array of objects are no such value.
//   - If a name occurs twice in an object of the body, the last one counts.
//   - Numbers are compared exactly, as decimals: 1.0 is 1 and 1e0.
//
// The package is our own because the one Go library for such patterns that can
// be used here, quamina 1.4.0, knows none of numeric, suffix, wildcard and $or,
// compares numbers as float64, and cannot say which condition failed on which
// value. Its later versions could not be obtained.
//
// A body is read once, whatever the number of patterns, and the time is at most
// proportional to the length of the body times the size of the patterns.
package filter

import (
	"slices"
	"sync"
)

// The bounds of a pattern.
const (
	// MaxBytes bounds the canonical form, so blanks do not count.
	MaxBytes = 4096
	// MaxLeaves bounds the values and rules in all arrays together. Every entry
	// of a list in anything-but counts.
	MaxLeaves = 64
	// MaxStars bounds the stars of all wildcards together.
	MaxStars = 8
	// MaxLevels bounds how deep objects are nested. An alternative of $or is one
	// level deeper than the object that has it.
	MaxLevels = 32
	// MaxDigits bounds the significant digits of a number in a pattern. Numbers
	// in a body may have any length.
	MaxDigits = 40
)

// A Pattern is a valid event pattern. It can be used by several goroutines at
// once.
type Pattern struct {
	canonical string
	root      *object
	set       *Set
}

// Error says what is wrong with a pattern and where. Its text is meant for
// whoever wrote the pattern.
type Error struct {
	Path    string // a JSON path such as $.data.total[0].numeric
	Problem string
}

func (e *Error) Error() string { return e.Path + ": " + e.Problem }

// Parse reads a pattern. Every error is an *Error.
func Parse(pattern []byte) (*Pattern, error) {
	tree, err := readTree(pattern)
	if err != nil {
		return nil, err
	}
	canonical := string(tree.appendTo(nil))
	if len(canonical) > MaxBytes {
		return nil, tooLong()
	}
	p := parser{}
	root, err := p.object(tree, "$", nil, 1)
	if err != nil {
		return nil, err
	}
	parsed := &Pattern{canonical: canonical, root: root}
	parsed.set = NewSet(parsed)
	return parsed, nil
}

// String returns the canonical form: the same pattern without blanks, with the
// names of every object in order and the entries of arrays as they were. Parse
// takes it again and makes the same of it.
func (p *Pattern) String() string { return p.canonical }

// MarshalJSON returns the canonical form.
func (p *Pattern) MarshalJSON() ([]byte, error) { return []byte(p.canonical), nil }

// Match reports whether body is one that p lets through. The error is
// rawjson.ErrInvalid for what is not JSON in UTF-8, and rawjson.ErrNotObject
// for JSON that is not an object; neither is let through.
func (p *Pattern) Match(body []byte) (bool, error) {
	var held [1]bool
	if err := p.set.match(body, held[:]); err != nil {
		return false, err
	}
	return held[0], nil
}

// A Set is several patterns that are matched together, in one reading of a
// body. It can be used by several goroutines at once.
type Set struct {
	root     *node
	patterns []*slot
	slots    int
	scans    sync.Pool // of *scan, whose states are for this set
}

// Match reports for each pattern of the set, in the order that NewSet was given,
// whether it lets body through. It appends to held and returns the result. The
// errors are those of Pattern.Match.
func (s *Set) Match(body []byte, held []bool) ([]bool, error) {
	n := len(held)
	held = slices.Grow(held, len(s.patterns))[:n+len(s.patterns)]
	if err := s.match(body, held[n:]); err != nil {
		return nil, err
	}
	return held, nil
}
