package filter_test

import (
	"fmt"

	"hookferry/shared/filter"
)

func ExamplePattern_Match() {
	p, err := filter.Parse([]byte(`{"data": {"status": ["paid", {"prefix": "refund"}], "total": [{"numeric": [">", 100]}]}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{
		`{"data": {"status": "paid", "total": 1e3}}`,
		`{"data": {"status": "refunded", "total": 99.99}}`,
		`["paid"]`,
	} {
		fmt.Println(p.Match([]byte(body)))
	}
	// Output:
	// true <nil>
	// false <nil>
	// false not a JSON object
}

func ExampleParse() {
	_, err := filter.Parse([]byte(`{"data": {"total": [{"numeric": ["above", 100]}]}}`))
	fmt.Println(err)
	// Output: $.data.total[0].numeric[0]: must be one of =, <, <=, > and >=
}

func ExamplePattern_Explain() {
	p, err := filter.Parse([]byte(`{"type": [{"prefix": "order."}], "data": {"country": ["DE", "AT"]}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := p.Explain([]byte(`{"type": "order.paid", "data": {"country": "FR"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range e.Clauses {
		fmt.Println(c.Path, c.Rule, c.Value, c.Held)
	}
	fmt.Println(e.Sentence)
	// Output:
	// $.data.country ["DE","AT"] "FR" false
	// $.type [{"prefix":"order."}] "order.paid" true
	// $.data.country must be one of ["DE","AT"], but the body has "FR".
}

func ExampleSet() {
	paid, err := filter.Parse([]byte(`{"status": ["paid"]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	open, err := filter.Parse([]byte(`{"status": [{"anything-but": "paid"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(filter.NewSet(paid, open).Match([]byte(`{"status": "paid"}`), nil))
	// Output: [true false] <nil>
}
