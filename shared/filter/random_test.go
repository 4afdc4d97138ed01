package filter

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	pairs = flag.Int("filter.pairs", 20000, "how many random pattern and body pairs are compared with the reference")
	seed  = flag.Uint64("filter.seed", 1, "the seed of those pairs")
)

func TestRandomPairsMatchAsTheReferenceSays(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(*seed, 0))}
	matched := 0
	for range *pairs {
		p := g.parsed(t)
		text, body := p.String(), g.object(4)
		want := referenceMatch(t, text, body)
		got, err := p.Match([]byte(body))
		if err != nil || got != want {
			t.Fatalf("pattern %s\nbody %s\ngot %v, %v, want %v", text, body, got, err, want)
		}
		e, err := p.Explain([]byte(body))
		if err != nil || e.Matched != want || e.Sentence == "" || !utf8.ValidString(e.Sentence) {
			t.Fatalf("pattern %s\nbody %s\ngot %+v, %v, want matched %v", text, body, e, err, want)
		}
		for i, c := range p.root.clauses(nil) {
			if want := referenceObject(decode(t, body).(map[string]any), plainPattern(t, c)); e.Clauses[i].Held != want {
				t.Fatalf("clause %s of %s\nbody %s\ngot %+v, want held %v", c.path, text, body, e.Clauses[i], want)
			}
		}
		if got {
			matched++
		}
	}
	t.Logf("%d of %d pairs matched", matched, *pairs)
	if matched < *pairs/10 || matched > *pairs*9/10 {
		t.Errorf("%d of %d pairs matched, which compares too little of the other kind", matched, *pairs)
	}
}

// plainPattern returns the pattern of c alone, decoded.
func plainPattern(t *testing.T, c *clause) map[string]any {
	v := decode(t, c.text)
	for i := len(c.names) - 1; i >= 0; i-- {
		v = map[string]any{c.names[i]: v}
	}
	return v.(map[string]any)
}

func TestASetMatchesAsEachOfItsPatterns(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(*seed, 1))}
	for range 200 {
		var patterns []*Pattern
		for range 1 + g.IntN(100) {
			patterns = append(patterns, g.parsed(t))
		}
		set := NewSet(patterns...)
		for range 5 {
			body := []byte(g.object(4))
			got, err := set.Match(body, []bool{true})
			if err != nil || len(got) != len(patterns)+1 || !got[0] {
				t.Fatalf("%s: got %v, %v", body, got, err)
			}
			for i, p := range patterns {
				if want, _ := p.Match(body); got[i+1] != want {
					t.Fatalf("pattern %s among %d\nbody %s\ngot %v, want %v", p, len(patterns), body, got[i+1], want)
				}
			}
		}
	}
}

// A generator makes patterns and bodies of few names and values, so that they
// often meet, and spells them in many ways.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

var words = []string{
	"", "a", "A", "ab", "aB", "abc", "ABC", "abab", "k", "\u212a", "s", "ſ", "é", "É", "日本", "ß", "İ",
	"a*b", "a\\b", "\"", "x\ny", "1", "null", "\U0001f600", "Σς",
}

var numerals = []string{
	"0", "-0", "0.0", "-0e9", "1", "1.0", "1e0", "10e-1", "0.1e1", "-1", "-1.0", "2", "1.5", "15e-1", "100", "1e2", "1E+2", "0.001", "1e-3",
	"1234567890123456789012345678901234567890", "1234567890123456789012345678901234567891", "123456789012345678901234567890123456789.0e1",
	"0.1", "0.10000000000000000001", "9007199254740992", "9007199254740993", "1e300", "1e301", "-1e300", "1e-300",
}

func (g generator) name() string { return pick(g, "a", "a", "a", "a", "b", "b", "b", "é", "d\"e", "") }

// quote spells s as JSON, some characters as escapes.
func (g generator) quote(s string) string {
	if g.IntN(3) > 0 {
		b, _ := json.Marshal(s)
		return string(b)
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r > 0xffff:
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case r < ' ' || r == '"' || r == '\\' || g.IntN(2) == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

func (g generator) scalar() string {
	switch g.IntN(8) {
	case 0, 1, 2, 3:
		return g.quote(pick(g, words...))
	case 4, 5, 6:
		return pick(g, numerals...)
	}
	return pick(g, "true", "false", "null")
}

func (g generator) object(depth int) string {
	var members []string
	for range 1 + g.IntN(6) {
		members = append(members, pick(g, "", " ", "\n\t")+g.quote(g.name())+pick(g, ":", " : ")+g.value(depth-1))
	}
	return "{" + strings.Join(members, pick(g, ",", " , ")) + pick(g, "", " ") + "}"
}

func (g generator) value(depth int) string {
	if depth <= 0 || g.IntN(5) < 2 {
		return g.scalar()
	}
	if g.IntN(3) == 0 {
		return g.object(depth)
	}
	var elements []string
	for range g.IntN(4) {
		if g.IntN(3) == 0 {
			elements = append(elements, g.object(depth-1))
			continue
		}
		elements = append(elements, g.value(depth-1))
	}
	return "[" + strings.Join(elements, pick(g, ",", " , ")) + "]"
}

// parsed returns a pattern. Those that happen to have too many stars or values
// are passed over.
func (g generator) parsed(t *testing.T) *Pattern {
	for {
		text := g.pattern(3)
		p, err := Parse([]byte(text))
		switch {
		case err == nil:
			return p
		case !strings.Contains(err.Error(), "has more than"):
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func (g generator) pattern(depth int) string {
	var members []string
	used := map[string]bool{}
	for range 1 + g.IntN(4)/3 {
		name := g.name()
		if used[name] {
			continue
		}
		used[name] = true
		member := g.quote(name) + ":"
		if depth > 1 && g.IntN(5) < 2 {
			member += g.pattern(depth - 1)
		} else {
			member += "[" + g.entry()
			for range g.IntN(5) {
				member += "," + g.entry()
			}
			member += "]"
		}
		members = append(members, member)
	}
	if depth > 1 && g.IntN(4) == 0 {
		members = append(members, `"$or":[`+g.pattern(depth-1)+","+g.pattern(depth-1)+"]")
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g generator) entry() string {
	word := g.quote(pick(g, words...))
	switch g.IntN(12) {
	case 0:
		return `{"prefix":` + pick(g, word, `{"equals-ignore-case":`+word+`}`) + `}`
	case 1:
		return `{"suffix":` + pick(g, word, `{"equals-ignore-case":`+word+`}`) + `}`
	case 2:
		return `{"equals-ignore-case":` + word + `}`
	case 3:
		return `{"wildcard":` + g.wildcard() + `}`
	case 4, 5:
		return `{"exists":` + pick(g, "true", "false") + `}`
	case 6:
		return `{"anything-but":` + g.but() + `}`
	case 7:
		low, high := pick(g, numerals...), pick(g, numerals...)
		if rational(json.Number(low)).Cmp(rational(json.Number(high))) < 0 {
			return `{"numeric":["` + pick(g, ">", ">=") + `",` + low + `,"` + pick(g, "<", "<=") + `",` + high + `]}`
		}
		return `{"numeric":["` + pick(g, "=", "<", "<=", ">", ">=") + `",` + low + `]}`
	}
	return g.scalar()
}

func (g generator) wildcard() string {
	return pick(g, `"*"`, `"a*"`, `"*b"`, `"a*b"`, `"*a*b*"`, `"a\\*b"`, `"*\\\\*"`, `"abc"`, `""`, `"*\u00e9*"`, `"a*b*a"`, `"ab*ab"`)
}

func (g generator) but() string {
	word := func() string { return g.quote(pick(g, words[1:]...)) }
	number := func() string { return pick(g, numerals...) }
	switch g.IntN(8) {
	case 0:
		return number()
	case 1:
		return "[" + number() + "," + number() + "]"
	case 2:
		return "[" + word() + "," + word() + "]"
	case 3:
		return `{"prefix":` + pick(g, word(), "["+word()+","+word()+"]") + `}`
	case 4:
		return `{"suffix":` + pick(g, word(), "["+word()+","+word()+"]") + `}`
	case 5:
		return `{"equals-ignore-case":` + pick(g, word(), "["+word()+","+word()+"]") + `}`
	case 6:
		return `{"wildcard":` + pick(g, g.wildcard(), "["+g.wildcard()+"]") + `}`
	}
	return word()
}
