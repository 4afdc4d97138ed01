package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestABadPatternIsRefusedWithThePlaceAndTheFault(t *testing.T) {
	for _, c := range []struct{ pattern, path, problem string }{
		{``, `$`, "not valid JSON"},
		{`{"a":["b"]`, `$`, "not valid JSON"},
		{"{\"a\":[\"\xff\"]}", `$`, "not valid JSON"},
		{`[]`, `$`, "must be an object, but is an array"},
		{`null`, `$`, "must be an object, but is null"},
		{`{}`, `$`, "no conditions"},
		{`{"a":{}}`, `$.a`, "no conditions"},
		{`{"a":{"b":[]}}`, `$.a.b`, "no values"},
		{`{"a":"b"}`, `$.a`, "must be an array of values or an object, but is a string"},
		{`{"a b":{"é":7}}`, `$["a b"]["é"]`, "is a number"},
		{`{"a":[["b"]]}`, `$.a[0]`, "is an array"},
		{`{"a":["b"],"\u0061":["c"]}`, `$.a`, "twice"},
		{`{"a":[{"prefix":"x","suffix":"y"}]}`, `$.a[0]`, "exactly one name"},
		{`{"a":["x",{}]}`, `$.a[1]`, "exactly one name"},
		{`{"a":[{"cidr":"10.0.0.0/8"}]}`, `$.a[0].cidr`, "not a known rule"},
		{`{"a":[{"Prefix":"x"}]}`, `$.a[0].Prefix`, "not a known rule"},
		{`{"a":[{"regexp":"x"}]}`, `$.a[0].regexp`, "not a known rule"},
		{`{"a":[{"prefix":1}]}`, `$.a[0].prefix`, "must be a string"},
		{`{"a":[{"suffix":{"prefix":"x"}}]}`, `$.a[0].suffix`, "equals-ignore-case alone"},
		{`{"a":[{"prefix":{"equals-ignore-case":1}}]}`, `$.a[0].prefix.equals-ignore-case`, "must be a string"},
		{`{"a":[{"equals-ignore-case":["x"]}]}`, `$.a[0].equals-ignore-case`, "must be a string"},
		{`{"a":[{"exists":"yes"}]}`, `$.a[0].exists`, "must be true or false"},
		{`{"a":[{"wildcard":"a**b"}]}`, `$.a[0].wildcard`, "two stars"},
		{`{"a":[{"wildcard":"a\\b"}]}`, `$.a[0].wildcard`, "a backslash must"},
		{`{"a":[{"wildcard":"a\\"}]}`, `$.a[0].wildcard`, "a backslash must"},
		{`{"a":[{"anything-but":null}]}`, `$.a[0].anything-but`, "must be a string or a number"},
		{`{"a":[{"anything-but":[]}]}`, `$.a[0].anything-but`, "no values"},
		{`{"a":[{"anything-but":["x",1]}]}`, `$.a[0].anything-but[1]`, "not both"},
		{`{"a":[{"anything-but":{"numeric":["=",1]}}]}`, `$.a[0].anything-but.numeric`, "anything-but takes"},
		{`{"a":[{"anything-but":{"prefix":""}}]}`, `$.a[0].anything-but.prefix`, "must not be empty"},
		{`{"a":[{"anything-but":{"suffix":["x",2]}}]}`, `$.a[0].anything-but.suffix[1]`, "must be a string"},
		{`{"a":[{"numeric":5}]}`, `$.a[0].numeric`, "must be an array"},
		{`{"a":[{"numeric":["=",1,"="]}]}`, `$.a[0].numeric`, "must be an array"},
		{`{"a":[{"numeric":["!=",1]}]}`, `$.a[0].numeric[0]`, "must be one of"},
		{`{"a":[{"numeric":[5,1]}]}`, `$.a[0].numeric[0]`, "must be one of"},
		{`{"a":[{"numeric":["=","1"]}]}`, `$.a[0].numeric[1]`, "must be a number"},
		{`{"a":[{"numeric":["<",1,">",0]}]}`, `$.a[0].numeric[0]`, "a range is"},
		{`{"a":[{"numeric":[">",1,"=",2]}]}`, `$.a[0].numeric[2]`, "a range is"},
		{`{"a":[{"numeric":[">",2,"<",1]}]}`, `$.a[0].numeric[3]`, "greater"},
		{`{"a":[{"numeric":[">=",1,"<=",1.0]}]}`, `$.a[0].numeric[3]`, "greater"},
		{`{"a":[1e1000]}`, `$.a[0]`, "not between"},
		{`{"a":[0.1234567890123456789012345678901234567890]}`, "", ""},
		{`{"a":[1.2345678901234567890123456789012345678901]}`, `$.a[0]`, "more than 40 digits"},
		{`{"$or":{"a":["b"]}}`, `$.$or`, "at least two objects"},
		{`{"$or":[{"a":["b"]}]}`, `$.$or`, "at least two objects"},
		{`{"x":{"$or":[{"a":["b"]},{"a":[{"no":1}]}]}}`, `$.x.$or[1].a[0].no`, "not a known rule"},
		{`{"$or":[{"a":["b"]},{"prefix":"b"}]}`, `$.$or[1].prefix`, "must be an array of values"},
	} {
		_, err := Parse([]byte(c.pattern))
		var e *Error
		switch {
		case c.path == "":
			if err != nil {
				t.Errorf("%s: got %v, want none", c.pattern, err)
			}
		case !errors.As(err, &e) || e.Path != c.path || !strings.Contains(e.Problem, c.problem):
			t.Errorf("%s: got %v, want %s: … %s", c.pattern, err, c.path, c.problem)
		}
	}
}

// nested returns a pattern of so many levels.
func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels) + `["b"]` + strings.Repeat(`}`, levels)
}

func alternatives(levels int) string {
	levels--
	return strings.Repeat(`{"$or":[{"b":[1]},`, levels) + `{"a":["b"]}` + strings.Repeat(`]}`, levels)
}

func entries(n int, entry string) string {
	return strings.TrimSuffix(strings.Repeat(entry+",", n), ",")
}

func TestThePatternsBoundsAreExact(t *testing.T) {
	long := func(n int) string { return `{"a":["` + strings.Repeat("x", n-len(`{"a":[""]}`)) + `"]}` }
	for _, c := range []struct {
		name, last, first string // the last that is taken, the first that is not
		path              string
	}{
		{"bytes", long(MaxBytes), long(MaxBytes + 1), "$"},
		{"bytes without blanks", strings.Replace(long(MaxBytes), ":", " : ", 1), strings.Repeat(" ", maxWritten), "$"},
		{"values", `{"a":[` + entries(64, "1") + `]}`, `{"a":[` + entries(65, "1") + `]}`, "$.a[64]"},
		{"rules", `{"a":[` + entries(64, `{"prefix":""}`) + `]}`, `{"a":[` + entries(65, `{"exists":true}`) + `]}`, "$.a[64]"},
		{"excluded values", `{"a":[{"anything-but":[` + entries(63, "1") + `]},1]}`, `{"a":[{"anything-but":[` + entries(64, "1") + `]},1]}`, "$.a[1]"},
		{"stars", `{"a":[` + entries(4, `{"wildcard":"*x*"}`) + `]}`, `{"a":[` + entries(4, `{"wildcard":"*x*"}`) + `,{"wildcard":"y*"}]}`, "$.a[4].wildcard"},
		{"levels", nested(32), nested(33), "$" + strings.Repeat(".a", 32)},
		{"levels of $or", alternatives(32), alternatives(33), "$" + strings.Repeat(".$or[1]", 31) + ".$or[0]"},
		{"endless levels", nested(32), strings.Repeat(`{"a":`, 3000) + `1` + strings.Repeat(`}`, 3000), "$" + strings.Repeat(".a", maxNesting+1)},
	} {
		if _, err := Parse([]byte(c.last)); err != nil {
			t.Errorf("%s: the last good one: %v", c.name, err)
		}
		var e *Error
		if _, err := Parse([]byte(c.first)); !errors.As(err, &e) || e.Path != c.path {
			t.Errorf("%s: got %v, want an error at %s", c.name, err, c.path)
		}
	}
}

func TestTheCanonicalFormIsStable(t *testing.T) {
	for pattern, want := range map[string]string{
		` { "b" : [ 1.0 , "x" ] , "a" : [ null ] } `:         `{"a":[null],"b":[1.0,"x"]}`,
		`{"\u0061":["\u003c\/\n\u0001\u2028é\ud83d\ude00"]}`: "{\"a\":[\"</\\n\\u0001\u2028é😀\"]}",
		`{"c":["\"\\"],"$or":[{"z":[true]},{"y":[1e2]}]}`:    `{"$or":[{"z":[true]},{"y":[1e2]}],"c":["\"\\"]}`,
		`{"a":[{"numeric":[">",1,"<=",2]}]}`:                 `{"a":[{"numeric":[">",1,"<=",2]}]}`,
	} {
		p, err := Parse([]byte(pattern))
		if err != nil {
			t.Fatal(err)
		}
		if p.String() != want {
			t.Errorf("%s: got %s, want %s", pattern, p, want)
		}
		stored, err := json.Marshal(map[string]any{"filter": p})
		if err != nil {
			t.Fatal(err)
		}
		var record struct{ Filter json.RawMessage }
		if err := json.Unmarshal(stored, &record); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(record.Filter)
		if err != nil || again.String() != want {
			t.Errorf("%s: stored and read again it is %v, %v", pattern, again, err)
		}
	}
}

// FuzzParse holds that a pattern that is taken is taken again in its canonical
// form, and that every error has a place and is text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"a":["b",1,true,null,{"prefix":"x"},{"numeric":[">",0,"<=",5e-1]}]}`,
		`{"$or":[{"a":[{"anything-but":{"wildcard":["*x","\\*"]}}]},{"b":{"c":[{"exists":false}]}}]}`,
		`{"é":[{"suffix":{"equals-ignore-case":"\u212a"}}]}`, `{"a":{"a":{"a":[]}}}`, nested(33),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, pattern []byte) {
		p, err := Parse(pattern)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.Path, "$") || e.Problem == "" || !utf8.ValidString(fmt.Sprint(err)) {
				t.Fatalf("%q: got error %v", pattern, err)
			}
			return
		}
		again, err := Parse([]byte(p.String()))
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q: %s is read again as %v, %v", pattern, p, again, err)
		}
		if len(p.String()) > len(pattern) {
			t.Fatalf("%q: the canonical form %s is longer", pattern, p)
		}
	})
}
