package filter

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestExplainSaysWhichClauseFailedOnWhichValue(t *testing.T) {
	for _, c := range []struct {
		pattern, body string
		want          Explanation
	}{
		{
			`{"type":["order.paid"],"data":{"total":[{"numeric":[">",100]}]}}`, `{"type":"order.paid","data":{"total":42.50}}`,
			Explanation{false, []Clause{
				{`$.data.total`, `[{"numeric":[">",100]}]`, `42.50`, false},
				{`$.type`, `["order.paid"]`, `"order.paid"`, true},
			}, `$.data.total must be one of [{"numeric":[">",100]}], but the body has 42.50.`},
		},
		{
			`{"a":["x"],"b":["y"],"c":["z"]}`, `{"b":[1,"y"]}`,
			Explanation{false, []Clause{
				{`$.a`, `["x"]`, ``, false}, {`$.b`, `["y"]`, `[1,"y"]`, true}, {`$.c`, `["z"]`, ``, false},
			}, `$.a must be one of ["x"], but there is no such value, and one more condition does not hold.`},
		},
		{
			`{"items":{"sku":["x"],"n":[2]}}`, ` {"items":[{"sku":"x","n":1},{"sku":"y","n":2}]}`,
			Explanation{false, []Clause{
				{`$.items.n`, `[2]`, `[1,2]`, true}, {`$.items.sku`, `["x"]`, `["x","y"]`, true},
			}, `Each condition holds somewhere in the body, but no single object meets all that belong together.`},
		},
		{
			`{"d":{"$or":[{"a":[1]},{"b":[2]}]}}`, `{"d":{"a":2,"b":3,"b":4}}`,
			Explanation{false, []Clause{{`$.d.a`, `[1]`, `2`, false}, {`$.d.b`, `[2]`, `4`, false}}, `None of the alternatives of $or at $.d holds.`},
		},
		{
			`{"d":{"$or":[{"a":[1]},{"b":[2]}]}}`, `{"d":{"b":2}}`,
			Explanation{true, []Clause{{`$.d.a`, `[1]`, ``, false}, {`$.d.b`, `[2]`, `2`, true}}, `The body meets the filter.`},
		},
	} {
		got, err := mustParse(t, c.pattern).Explain([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s on %s: -want +got\n%s", c.pattern, c.body, diff)
		}
	}
}

func TestALongValueIsCutBetweenCharacters(t *testing.T) {
	p := mustParse(t, `{"a":{"b":["x"]}}`)
	for _, body := range []string{
		`{"a":{"b":"` + strings.Repeat("日", 1000) + `"}}`,
		`{"a":[{"b":"` + strings.Repeat("😀", 50) + `"},{"b":"` + strings.Repeat("é", 500) + `"}]}`,
		`{"a":[` + entries(10000, `{"b":"é"}`) + `]}`,
	} {
		e, err := p.Explain([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if v := e.Clauses[0].Value; utf8.RuneCountInString(v) != 128 || !utf8.ValidString(v) || !utf8.ValidString(e.Sentence) {
			t.Errorf("got %d characters: %s", utf8.RuneCountInString(v), v)
		}
	}
}
