//go:build cdk

package main

import (
	"regexp"
	"strconv"
	"testing"
)

var formulaTokens = regexp.MustCompile(`>=|[A-Za-z_]\w*|[0-9.]+|[-+*/(),]`)

// A formulaParser evaluates a metric formula while it reads it.
type formulaParser struct {
	t      *testing.T
	tokens []string
	value  func(id string) (float64, error)
}

func (p *formulaParser) next() string {
	if len(p.tokens) == 0 {
		p.t.Fatal("the formula ends too early")
	}
	first := p.tokens[0]
	p.tokens = p.tokens[1:]
	return first
}

func (p *formulaParser) is(token string) bool { return len(p.tokens) > 0 && p.tokens[0] == token }

func (p *formulaParser) want(token string) {
	if got := p.next(); got != token {
		p.t.Fatalf("the formula has %q, want %q", got, token)
	}
}

// sum reads terms, joined by +, and what they are compared with.
func (p *formulaParser) sum() (float64, error) {
	v, err := p.product()
	for p.is("+") {
		p.next()
		right, err2 := p.product()
		v += right
		if err == nil {
			err = err2
		}
	}
	if p.is(">=") {
		p.next()
		right, err2 := p.sum()
		if err == nil {
			err = err2
		}
		if v >= right {
			return 1, err
		}
		return 0, err
	}
	return v, err
}

func (p *formulaParser) product() (float64, error) {
	v, err := p.factor()
	for p.is("*") || p.is("/") {
		op := p.next()
		right, err2 := p.factor()
		if err == nil {
			err = err2
		}
		if op == "*" {
			v *= right
		} else {
			v /= right
		}
	}
	return v, err
}

func (p *formulaParser) factor() (float64, error) {
	token := p.next()
	switch {
	case token == "(":
		v, err := p.sum()
		p.want(")")
		return v, err
	case token == "FILL":
		p.want("(")
		v, err := p.sum()
		p.want(",")
		instead, _ := p.sum()
		p.want(")")
		if err != nil {
			return instead, nil
		}
		return v, nil
	case token == "IF":
		p.want("(")
		condition, err := p.sum()
		p.want(",")
		yes, err1 := p.sum()
		p.want(",")
		no, err2 := p.sum()
		p.want(")")
		if err != nil {
			return 0, err
		}
		if condition != 0 {
			return yes, err1
		}
		return no, err2
	case token[0] >= '0' && token[0] <= '9':
		v, err := strconv.ParseFloat(token, 64)
		return v, err
	}
	return p.value(token)
}
