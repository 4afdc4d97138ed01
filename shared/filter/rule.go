package filter

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// An op is how a rule compares.
type op byte

const (
	opEqual op = iota // to a string
	opKind            // to true, false or null
	opNumeric
	opPrefix
	opSuffix
	opFoldEqual
	opFoldPrefix
	opFoldSuffix
	opWildcard
	opNone    // none of but holds
	opPresent // there is a value
	opAbsent  // there is none
)

// A rule is one entry of a clause.
type rule struct {
	op     op
	kind   kind     // opKind
	text   string   // opEqual, opPrefix, opSuffix
	folded []rune   // opFold…: the text, each character folded
	pieces [][]byte // opWildcard: what stands between the stars
	but    []rule   // opNone

	// opNumeric: the ends of a range, whether there are such ends, and whether
	// they belong to it.
	low, high     decimal
	from, to      bool
	lowIn, highIn bool
}

// A scalar is a value of the body that is neither an object nor an array.
type scalar struct {
	kind   kind
	text   []byte  // of a string
	number decimal // of a number
}

// holds reports whether v is what r asks for.
func (r *rule) holds(v *scalar) bool {
	switch r.op {
	case opPresent:
		return true
	case opAbsent:
		return false
	case opKind:
		return v.kind == r.kind
	case opNumeric:
		return v.kind == kindNumber && r.inRange(v.number)
	case opNone:
		for i := range r.but {
			if r.but[i].holds(v) {
				return false
			}
		}
		return true
	}
	if v.kind != kindString {
		return false
	}
	switch r.op {
	case opEqual:
		return string(v.text) == r.text
	case opPrefix:
		return len(v.text) >= len(r.text) && string(v.text[:len(r.text)]) == r.text
	case opSuffix:
		return len(v.text) >= len(r.text) && string(v.text[len(v.text)-len(r.text):]) == r.text
	case opFoldEqual:
		n, ok := foldedPrefix(v.text, r.folded)
		return ok && n == len(v.text)
	case opFoldPrefix:
		_, ok := foldedPrefix(v.text, r.folded)
		return ok
	case opFoldSuffix:
		return foldedSuffix(v.text, r.folded)
	}
	return matchPieces(v.text, r.pieces)
}

func (r *rule) inRange(d decimal) bool {
	if r.from {
		if c := d.compare(r.low); c < 0 || c == 0 && !r.lowIn {
			return false
		}
	}
	if r.to {
		if c := d.compare(r.high); c > 0 || c == 0 && !r.highIn {
			return false
		}
	}
	return true
}

// matchPieces reports whether text is pieces with anything between them. Each
// piece is taken where it first occurs: that leaves the most for those after it,
// so there is never a reason to go back.
func matchPieces(text []byte, pieces [][]byte) bool {
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(pieces) == 1 {
		return bytes.Equal(text, first)
	}
	if len(text) < len(first)+len(last) || !bytes.HasPrefix(text, first) || !bytes.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		at := bytes.Index(text, piece)
		if at < 0 {
			return false
		}
		text = text[at+len(piece):]
	}
	return true
}

// fold returns the same character for all that differ in case alone.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	if least < utf8.RuneSelf {
		return fold(least)
	}
	return least
}

func foldAll(s string) []rune {
	folded := []rune(s)
	for i, r := range folded {
		folded[i] = fold(r)
	}
	return folded
}

// foldedPrefix returns how many bytes of text are the characters of folded, if
// text begins with them.
func foldedPrefix(text []byte, folded []rune) (int, bool) {
	n := 0
	for _, want := range folded {
		if n == len(text) {
			return 0, false
		}
		r, size := utf8.DecodeRune(text[n:])
		if fold(r) != want {
			return 0, false
		}
		n += size
	}
	return n, true
}

func foldedSuffix(text []byte, folded []rune) bool {
	for i := len(folded) - 1; i >= 0; i-- {
		if len(text) == 0 {
			return false
		}
		r, size := utf8.DecodeLastRune(text)
		if fold(r) != folded[i] {
			return false
		}
		text = text[:len(text)-size]
	}
	return true
}
