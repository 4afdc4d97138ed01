package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"hookferry/shared/rawjson"
)

func mustParse(tb testing.TB, pattern string) *Pattern {
	tb.Helper()
	p, err := Parse([]byte(pattern))
	if err != nil {
		tb.Fatalf("%s: %v", pattern, err)
	}
	return p
}

func TestEachRuleMatchesWhatItSays(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		yes, not []string
	}{
		{`{"a":["x",1,true,null]}`, []string{`{"a":"x"}`, `{"a":1.0}`, `{"a":true}`, `{"a":null}`, `{"a":[[2,["x"]]]}`, `{"a":"\u0078"}`}, []string{`{"a":"X"}`, `{"a":"1"}`, `{"a":false}`, `{"a":"null"}`, `{"b":"x"}`, `{}`, `{"a":[]}`, `{"a":{"a":"x"}}`}},
		{`{"a":[""]}`, []string{`{"a":""}`}, []string{`{"a":null}`, `{"a":" "}`}},
		{`{"a":[{"prefix":"us-"}]}`, []string{`{"a":"us-"}`, `{"a":"us-east"}`}, []string{`{"a":"US-east"}`, `{"a":"us"}`, `{"a":7}`}},
		{`{"a":[{"prefix":{"equals-ignore-case":"us-k"}}]}`, []string{`{"a":"US-Kx"}`, "{\"a\":\"us-\u212a\"}", `{"a":"uſ-k"}`}, []string{`{"a":"us-"}`, `{"a":"xus-k"}`}},
		{`{"a":[{"suffix":".png"}]}`, []string{`{"a":"x.png"}`, `{"a":".png"}`}, []string{`{"a":"x.PNG"}`, `{"a":"png"}`}},
		{`{"a":[{"suffix":{"equals-ignore-case":".PnG"}}]}`, []string{`{"a":"é.pNg"}`}, []string{`{"a":".png "}`, `{"a":"g"}`}},
		{`{"a":[{"equals-ignore-case":"Straße"}]}`, []string{`{"a":"STRAẞE"}`, `{"a":"straße"}`}, []string{`{"a":"STRASSE"}`, `{"a":"straß"}`, `{"a":"straßen"}`}},
		{`{"a":[{"anything-but":"x"}]}`, []string{`{"a":"y"}`, `{"a":1}`, `{"a":null}`, `{"a":["x","y"]}`}, []string{`{"a":"x"}`, `{}`, `{"a":[]}`, `{"a":["x","x"]}`, `{"a":{}}`}},
		{`{"a":[{"anything-but":[1,2]}]}`, []string{`{"a":3}`, `{"a":"1"}`}, []string{`{"a":1.0}`, `{"a":20e-1}`}},
		{`{"a":[{"anything-but":{"prefix":["x","y"]}}]}`, []string{`{"a":"z"}`, `{"a":1}`}, []string{`{"a":"xa"}`, `{"a":"yb"}`}},
		{`{"a":[{"anything-but":{"suffix":".png"}}]}`, []string{`{"a":".gif"}`}, []string{`{"a":"a.png"}`}},
		{`{"a":[{"anything-but":{"wildcard":"*/lib/*"}}]}`, []string{`{"a":"/lib"}`}, []string{`{"a":"/lib/"}`, `{"a":"a/lib/b"}`}},
		{`{"a":[{"anything-but":{"equals-ignore-case":["x","y"]}}]}`, []string{`{"a":"z"}`}, []string{`{"a":"X"}`, `{"a":"Y"}`}},
		{`{"a":[{"numeric":[">",0,"<=",5]}]}`, []string{`{"a":5}`, `{"a":0.000001}`, `{"a":50e-1}`}, []string{`{"a":0}`, `{"a":-1}`, `{"a":5.0000000000000000000000001}`, `{"a":"1"}`}},
		{`{"a":[{"numeric":["<",0]}]}`, []string{`{"a":-1}`, `{"a":-1e-99999999999999999999}`}, []string{`{"a":0}`, `{"a":-0.0e99999999999999999999}`}},
		{`{"a":[{"numeric":[">=",1e999]}]}`, []string{`{"a":1e999}`, `{"a":1e1000}`, `{"a":1e99999999999999999999}`}, []string{`{"a":9e998}`, `{"a":-1e99999999999999999999}`, `{"a":1e-99999999999999999999}`}},
		{`{"a":[9007199254740993]}`, []string{`{"a":9007199254740993.0}`, `{"a":90071992547409930e-1}`}, []string{`{"a":9007199254740992}`}},
		{`{"a":[0.1]}`, []string{`{"a":1e-1}`, `{"a":0.10}`}, []string{`{"a":0.1000000000000000055511151231257827}`}},
		{`{"a":[1234567890123456789012345678901234567890]}`, []string{`{"a":1.23456789012345678901234567890123456789e39}`}, []string{`{"a":1234567890123456789012345678901234567891}`, `{"a":1234567890123456789012345678901234567890.00000001}`}},
		{`{"a":[0]}`, []string{`{"a":-0}`, `{"a":0.000e5}`}, []string{`{"a":1e-400}`}},
		{`{"a":[{"exists":true}]}`, []string{`{"a":null}`, `{"a":""}`, `{"a":[{},0]}`}, []string{`{}`, `{"a":{}}`, `{"a":[]}`, `{"a":[{"b":1}]}`}},
		{`{"a":[{"exists":false}]}`, []string{`{}`, `{"a":{"b":1}}`, `{"a":[]}`}, []string{`{"a":null}`, `{"a":[[0]]}`}},
		{`{"a":["x",{"exists":false}]}`, []string{`{}`, `{"a":"x"}`}, []string{`{"a":"y"}`}},
		{`{"a":{"b":[{"exists":false}]}}`, []string{`{}`, `{"a":7}`, `{"a":[]}`, `{"a":{"c":1}}`, `{"a":[{"b":1},{"c":1}]}`}, []string{`{"a":{"b":1}}`, `{"a":[7,{"b":1}]}`}},
		{`{"a":[{"wildcard":"a*b\\*c\\\\*"}]}`, []string{`{"a":"ab*c\\"}`, `{"a":"axxb*c\\yy"}`}, []string{`{"a":"abxc\\"}`, `{"a":"ab*c"}`}},
		{`{"a":[{"wildcard":"ab*ab"}]}`, []string{`{"a":"abab"}`}, []string{`{"a":"ab"}`, `{"a":"aba"}`, `{"a":"bab"}`}},
		{`{"a":["1"],"$or":[{"b":["2"]},{"c":["3"],"d":["4"]}]}`, []string{`{"a":"1","b":"2"}`, `{"a":"1","c":"3","d":"4"}`}, []string{`{"a":"1","c":"3"}`, `{"b":"2"}`, `{"a":"1"}`}},
		{`{"a":{"x":[1],"y":[2]}}`, []string{`{"a":{"x":1,"y":2}}`, `{"a":[{"x":1},{"x":1,"y":2}]}`, `{"a":[[{"x":[0,1],"y":2}]]}`}, []string{`{"a":[{"x":1},{"y":2}]}`, `{"x":1,"y":2}`}},
		{`{"a":{"x":[1],"$or":[{"y":[2]},{"z":[3]}]}}`, []string{`{"a":[{"y":2},{"x":1,"z":3}]}`}, []string{`{"a":[{"x":1},{"z":3}]}`}},
		{`{"a":[1],"$or":[{"a":[2]},{"a":{"b":[3]}}]}`, []string{`{"a":[1,2]}`, `{"a":[1,{"b":3}]}`}, []string{`{"a":1}`, `{"a":2}`}},
	} {
		p := mustParse(t, c.pattern)
		for i, body := range slices.Concat(c.yes, c.not) {
			want := i < len(c.yes)
			if got, err := p.Match([]byte(body)); err != nil || got != want {
				t.Errorf("%s on %s: got %v, %v, want %v", c.pattern, body, got, err, want)
			}
		}
	}
}

func TestTheLastOfARepeatedNameCounts(t *testing.T) {
	for _, c := range []struct {
		pattern, body string
		want          bool
	}{
		{`{"a":[1]}`, `{"a":1,"a":2}`, false},
		{`{"a":[1]}`, `{"a":2,"\u0061":1}`, true},
		{`{"a":[{"exists":true}]}`, `{"a":1,"a":{}}`, false},
		{`{"a":[{"exists":false}]}`, `{"a":1,"a":[]}`, true},
		{`{"a":{"b":[1]}}`, `{"a":{"b":1},"a":7}`, false},
		{`{"a":{"b":[1]}}`, `{"a":{"b":1},"a":{"b":2}}`, false},
		{`{"a":{"b":[1],"c":[2]}}`, `{"a":{"b":1},"a":{"c":2}}`, false},
		{`{"a":{"b":[{"exists":false}]}}`, `{"a":{"b":1},"a":7}`, true},
		{`{"a":{"b":[1]}}`, `{"a":[{"b":1,"b":2},{"b":2,"b":1}]}`, true},
	} {
		if got, err := mustParse(t, c.pattern).Match([]byte(c.body)); err != nil || got != c.want {
			t.Errorf("%s on %s: got %v, %v, want %v", c.pattern, c.body, got, err, c.want)
		}
	}
}

func TestABodyThatIsNoJSONObjectIsAnError(t *testing.T) {
	p := mustParse(t, `{"a":[{"exists":false}]}`)
	for want, bodies := range map[error][]string{
		rawjson.ErrNotObject: {`[]`, `[{"a":1}]`, `"a"`, `7`, `null`, ` true `},
		rawjson.ErrInvalid: {
			``, ` `, `{`, `{}x`, `{} {}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":+1}`, `{"a":-}`,
			`{"a":tru}`, `{"a":nul`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12`, `{"a":"`, `{"a":"\`, "{\"a\":\"\n\"}", "{\"a\":\"12345678\x1f\"}", "{\"a\":\"\xff\"}", `{"a":[1}`, `{"a":{]}`, `{"a":[1 2]}`, `{"a":[1,]}`,
			strings.Repeat(`{"a":`, 10001) + `1` + strings.Repeat(`}`, 10001), strings.Repeat(`{"a":[`, 100000),
		},
	} {
		for _, body := range bodies {
			if got, err := p.Match([]byte(body)); got || !errors.Is(err, want) {
				t.Errorf("%.60s: got %v, %v, want %v", body, got, err, want)
			}
			if _, err := p.Explain([]byte(body)); !errors.Is(err, want) {
				t.Errorf("%.60s: Explain: got %v, want %v", body, err, want)
			}
		}
	}
}

// FuzzMatch holds Match against encoding/json for what is valid, and against
// the reference for the answer.
func FuzzMatch(f *testing.F) {
	for _, c := range [][2]string{
		{`{"a":["b",1]}`, `{"a":[1.0,{"a":"b"}]}`},
		{`{"a":{"b":[{"wildcard":"*x*"}],"c":[{"exists":false}]}}`, `{"a":[{"b":"x\u0078"},{"c":null}],"a":{}}`},
		{`{"$or":[{"a":[{"numeric":[">",1e3]}]},{"é":[{"equals-ignore-case":"K"}]}]}`, ` {"a": 1e-3, "\u00e9" : "k"} `},
	} {
		f.Add([]byte(c[0]), []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, pattern, body []byte) {
		p, err := Parse(pattern)
		if err != nil {
			return
		}
		got, err := p.Match(body)
		if valid := json.Valid(body) && utf8.Valid(body); valid == errors.Is(err, rawjson.ErrInvalid) {
			t.Fatalf("%q: got %v, valid is %v", body, err, valid)
		}
		if err != nil || hugeExponent(body) || hugeExponent(pattern) {
			return
		}
		if want := referenceMatch(t, p.String(), string(body)); got != want {
			t.Fatalf("pattern %s\nbody %q\ngot %v, want %v", p, body, got, want)
		}
		if e, err := p.Explain(body); err != nil || e.Matched != got {
			t.Fatalf("pattern %s\nbody %q\ngot %+v, %v, want matched %v", p, body, e, err, got)
		}
	})
}

// hugeExponent reports whether text may have a number that is too much for the
// rational numbers of the reference.
func hugeExponent(text []byte) bool {
	digits := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			digits = 0
		} else if digits++; digits > 3 && bytes.ContainsAny(text, "eE") {
			return true
		}
	}
	return false
}
