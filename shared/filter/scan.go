package filter

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"unicode/utf8"

	"hookferry/shared/rawjson"
)

// A scan reads a body once, from its first byte to its last, and checks that it
// is valid JSON. Its methods begin at i and report whether what is there is
// valid; they leave i after it.
type scan struct {
	body   []byte
	i      int
	depth  int
	states []byte // of the slots of a set
}

// maxDepth is how deep a body may nest; encoding/json takes no deeper one.
const maxDepth = 10000

func (s *Set) match(body []byte, result []bool) error {
	if !utf8.Valid(body) {
		return rawjson.ErrInvalid
	}
	sc, _ := s.scans.Get().(*scan)
	if sc == nil {
		sc = &scan{states: make([]byte, s.slots)}
	}
	defer func() {
		sc.body = nil
		s.scans.Put(sc)
	}()
	clear(sc.states)
	sc.body, sc.i, sc.depth = body, 0, 0
	sc.space()
	isObject := sc.i < len(body) && body[sc.i] == '{'
	if !sc.value(s.root) {
		return rawjson.ErrInvalid
	}
	if sc.space(); sc.i != len(body) {
		return rawjson.ErrInvalid
	}
	if !isObject {
		return rawjson.ErrNotObject
	}
	for i, p := range s.patterns {
		result[i] = sc.states[p.id] == held
	}
	return nil
}

// value reads a value of the node n, which is nil where no pattern looks.
func (s *scan) value(n *node) bool {
	if s.i >= len(s.body) {
		return false
	}
	start := s.i
	switch s.body[s.i] {
	case '{':
		return s.object(n)
	case '[':
		return s.array(n)
	case '"':
		escaped, ok := s.text()
		if ok && n != nil && len(n.clauses) > 0 {
			n.ask(s.states, &scalar{kind: kindString, text: unquote(s.body[start:s.i], escaped)})
		}
		return ok
	case 't':
		return s.word("true", kindTrue, n)
	case 'f':
		return s.word("false", kindFalse, n)
	case 'n':
		return s.word("null", kindNull, n)
	}
	ok := s.number()
	if ok && n != nil && len(n.clauses) > 0 {
		n.ask(s.states, &scalar{kind: kindNumber, number: newDecimal(s.body[start:s.i])})
	}
	return ok
}

// ask puts v before the clauses of n.
func (n *node) ask(states []byte, v *scalar) {
	for _, c := range n.clauses {
		if states[c.id] == held {
			continue
		}
		states[c.id] = seen
		for i := range c.rules {
			if c.rules[i].holds(v) {
				states[c.id] = held
				break
			}
		}
	}
}

func (s *scan) object(n *node) bool {
	if s.depth++; s.depth > maxDepth {
		return false
	}
	if n != nil {
		clear(s.states[n.below:n.belowTo])
	}
	s.i++
	if s.space(); !s.at('}') {
		for {
			if !s.member(n) {
				return false
			}
			if s.at('}') {
				break
			}
			if !s.at(',') {
				return false
			}
			s.i++
			s.space()
		}
	}
	s.i++
	s.depth--
	if n == nil {
		return true
	}
	for _, o := range n.objects {
		switch {
		case s.states[o.id] == held:
		case o.condition.holds(s.states):
			s.states[o.id] = held
		default:
			s.states[o.id] = seen
		}
	}
	return true
}

// member reads a name and its value and the blanks after them.
func (s *scan) member(n *node) bool {
	start := s.i
	if !s.at('"') {
		return false
	}
	escaped, ok := s.text()
	if !ok {
		return false
	}
	var child *node
	if n != nil && len(n.names) > 0 {
		if child = n.find(unquote(s.body[start:s.i], escaped)); child != nil {
			// The name may have been there before, and only its last value counts.
			clear(s.states[child.first:child.end])
		}
	}
	if s.space(); !s.at(':') {
		return false
	}
	s.i++
	s.space()
	if child == nil && s.at('"') { // By far the most frequent kind of value.
		_, ok = s.text()
	} else {
		ok = s.value(child)
	}
	s.space()
	return ok
}

func (s *scan) array(n *node) bool {
	if s.depth++; s.depth > maxDepth {
		return false
	}
	s.i++
	if s.space(); !s.at(']') {
		for {
			if !s.value(n) {
				return false
			}
			if s.space(); s.at(']') {
				break
			}
			if !s.at(',') {
				return false
			}
			s.i++
			s.space()
		}
	}
	s.i++
	s.depth--
	return true
}

func (s *scan) at(c byte) bool { return s.i < len(s.body) && s.body[s.i] == c }

func (s *scan) space() {
	if s.i < len(s.body) && s.body[s.i] <= ' ' {
		s.blanks()
	}
}

func (s *scan) blanks() {
	for s.i < len(s.body) {
		switch s.body[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *scan) word(word string, k kind, n *node) bool {
	if len(s.body)-s.i < len(word) || string(s.body[s.i:s.i+len(word)]) != word {
		return false
	}
	s.i += len(word)
	if n != nil {
		n.ask(s.states, &scalar{kind: k})
	}
	return true
}

func (s *scan) number() bool {
	if s.at('-') {
		s.i++
	}
	if s.at('0') {
		s.i++
	} else if !s.digits() {
		return false
	}
	if s.at('.') {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.at('e') || s.at('E') {
		s.i++
		if s.at('+') || s.at('-') {
			s.i++
		}
		return s.digits()
	}
	return true
}

// digits reads at least one digit.
func (s *scan) digits() bool {
	b, i := s.body, s.i
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	some := i > s.i
	s.i = i
	return some
}

// text reads a string and reports whether it has escapes. It looks at eight
// bytes at once for a quote, a backslash or a control character: taking away from
// each byte what it must at least be leaves the highest bit set where it is less,
// and the first such bit is never one that was borrowed from.
func (s *scan) text() (escaped, ok bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	b := s.body
	for i := s.i + 1; i < len(b); {
		if i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			hit := ((x - ' '*ones) | ((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones)) & ^x & tops
			if hit == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(hit) / 8
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return escaped, true
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				return false, false
			}
			escaped = true
			i += n
		case c < ' ':
			return false, false
		default:
			i++
		}
	}
	return false, false
}

// escape returns the length of the escape that b begins with, or 0 if it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex(b[2]) && hex(b[3]) && hex(b[4]) && hex(b[5]) {
			return 6
		}
	}
	return 0
}

func hex(c byte) bool { return c-'0' < 10 || c|0x20 >= 'a' && c|0x20 <= 'f' }

// unquote returns the text of a valid JSON string.
func unquote(quoted []byte, escaped bool) []byte {
	if !escaped {
		return quoted[1 : len(quoted)-1]
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return nil // The scan has found it valid.
	}
	return []byte(text)
}
