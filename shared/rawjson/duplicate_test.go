package rawjson

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func TestANameThatOccursTwiceIsFoundAnywhere(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1,"a":2}`: "a",
		`{"a":{"b":{"c":1}},"x":{"b":[1,{"c":1,"\u0063":2}]}}`: "x.b[1].c",
		`[[],{"k":"a"},{"k":1,"l":{},"k":{}}]`:                 "[2].k",
		` { "a" : [ { } , { "" : 1 , "" : 2 } ] } `:            "a[1].",
		`{"a":"a","b":{"a":1},"c":[{"a":1},{"a":1}],"A":1}`:    "",
		`{"a":"\"a\":1,\"a\":2"}`:                              "",
		`"a"`:                                                  "", `17`: "", `[]`: "", `{}`: "", `null`: "", ` [ "a" , "a" ] `: "",
	} {
		if got, found := Duplicate([]byte(body)); got != want || found != (want != "") {
			t.Errorf("%s: %q, %t, want %q", body, got, found, want)
		}
	}
	deep := strings.Repeat(`{"a":[`, 20_000) + `{"b":1,"b":2}` + strings.Repeat(`]}`, 20_000)
	if _, found := Duplicate([]byte(deep)); !found {
		t.Error("not found at a great depth")
	}
}

// repeats is Duplicate by the tokens of encoding/json.
func repeats(body []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type object struct {
		names map[string]bool
		name  bool
	}
	var open []*object
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return false
		}
		if err != nil {
			panic(err)
		}
		var top *object
		if len(open) > 0 {
			top = open[len(open)-1]
		}
		if top != nil && top.names != nil && top.name {
			if name, ok := tok.(string); ok {
				if top.names[name] {
					return true
				}
				top.names[name], top.name = true, false
				continue
			}
		}
		if tok == json.Delim('}') || tok == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if top != nil {
			top.name = true
		}
		switch tok {
		case json.Delim('{'):
			open = append(open, &object{names: map[string]bool{}, name: true})
		case json.Delim('['):
			open = append(open, &object{})
		}
	}
}

func FuzzDuplicate(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"a":2}`, `{"a":{"b":[{"c":1,"\u0063":2}]}}`, `[{"a":"\\\"","a":1}]`, `{"a":[],"b":{},"a":null}`, `{"a\u0000":1,"a":2}`,
		`{"":{"":{"":1}}}`, ` [ { "x" : -1.5e3 , "y" : true } ] `, `{"é":1,"\u00e9":2}`, `{"a":1,"b":{"a":1}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !Valid(body) {
			return
		}
		path, found := Duplicate(body)
		if want := repeats(body); found != want {
			t.Errorf("%q: found %t at %q, want %t", body, found, path, want)
		}
	})
}
