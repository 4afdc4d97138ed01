package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFieldsAreFoundExactly(t *testing.T) {
	for body, want := range map[string][]string{
		`{}`:                                        {"", ""},
		` { "id" : "e" , "type" : "t" } `:           {`"e"`, `"t"`},
		`{"type":{"id":1},"x":["id",{"id":2}]}`:     {"", `{"id":1}`},
		`{"ID":1,"Id":2,"iD":3,"\u0069d":4}`:        {"4", ""},
		`{"id":"a\"},{\\","type":[1,[2,"]"]]}`:      {`"a\"},{\\"`, `[1,[2,"]"]]`},
		`{"id":-1.5e+3,"type":true}`:                {"-1.5e+3", "true"},
		"{\"id\":null\n,\t\"type\":{}\r\n}":         {"null", "{}"},
		`{"a":1,"a":2,"":3,"id":false}`:             {"false", ""},
		`{"x":{"y":{"z":[]}},"id":[],"i\u0064x":1}`: {"[]", ""},
	} {
		got, err := Fields([]byte(body), "id", "type")
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if diff := cmp.Diff(want, []string{string(got[0]), string(got[1])}); diff != "" {
			t.Errorf("%s: -want +got\n%s", body, diff)
		}
	}
}

func TestAFieldThatOccursTwiceIsRefusedHoweverItIsSpelt(t *testing.T) {
	for _, body := range []string{`{"id":1,"id":2}`, `{"id":null,"id":null}`, `{"id":1,"\u0069\u0064":2}`} {
		if _, err := Fields([]byte(body), "id"); !errors.Is(err, ErrDuplicate) {
			t.Errorf("%s: got %v, want ErrDuplicate", body, err)
		}
	}
}

func TestWhatIsNoObjectHasNoFields(t *testing.T) {
	for _, body := range []string{`[]`, `"id"`, `1`, `null`, `true`, ` [{"id":1}]`, ``} {
		if _, err := Fields([]byte(body), "id"); !errors.Is(err, ErrNotObject) {
			t.Errorf("%s: got %v, want ErrNotObject", body, err)
		}
	}
}

func TestElementsGoInOrderAndStop(t *testing.T) {
	var got []string
	Elements([]byte(` [ 1 , "a,]" , {"x":[2]} , [] , null ] `), func(e []byte) bool {
		got = append(got, string(e))
		return len(got) < 4
	})
	if diff := cmp.Diff([]string{`1`, `"a,]"`, `{"x":[2]}`, `[]`}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, none := range []string{`[]`, `{"a":1}`, `"[1]"`, `7`, ``} {
		Elements([]byte(none), func(e []byte) bool { t.Errorf("%s: got element %s", none, e); return true })
	}
}

func TestBytesThatAreNotUTF8AreNotValid(t *testing.T) {
	if Valid([]byte("{\"id\":\"\xff\"}")) {
		t.Error("a string of invalid UTF-8 passed")
	}
	if !Valid([]byte(`{"id":"\ud800","x":"é\u0000"}`)) {
		t.Error("escapes did not pass")
	}
}

// FuzzFields holds Fields against encoding/json on every text that it takes.
func FuzzFields(f *testing.F) {
	for _, s := range []string{`{"id":1}`, `{"a":{"id":[1,"}"]},"id":"\"x"}`, `{"\u0069d":null,"b":-1e9}`, `[{}]`, ` {"id" : true} `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !Valid(body) {
			return
		}
		got, err := Fields(body, "id")
		var want map[string]json.RawMessage
		if json.Unmarshal(body, &want) != nil || want == nil {
			if !errors.Is(err, ErrNotObject) {
				t.Fatalf("%q: got %v, want ErrNotObject", body, err)
			}
			Elements(body, func(e []byte) bool {
				if !json.Valid(e) {
					t.Fatalf("%q: element %q", body, e)
				}
				return true
			})
			return
		}
		if errors.Is(err, ErrDuplicate) {
			if strings.Count(string(body), `d"`) < 2 && !bytes.Contains(body, []byte(`\u`)) {
				t.Fatalf("%q: there is no duplicate", body)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if !bytes.Equal(got[0], want["id"]) {
			t.Fatalf("%q: got %q, want %q", body, got[0], want["id"])
		}
	})
}
