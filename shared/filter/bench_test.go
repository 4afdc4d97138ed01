package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// kilobyte is an event of about 1 KB, as a shop would send it.
const kilobyte = `{"id":"evt_01HV3ZJ8QK6W5X4Y3Z2A1B0C9D","object":"webhook_event","type":"order.paid","api_version":"2026-05-11","created_at":"2026-05-11T09:30:00.123Z","data":{"order":{"id":"ord_8f14e45fceea167a5a36dedd4bea2543","status":"paid","currency":"EUR","total":129.90,"tax":20.74,"customer":{"id":"cus_c9f0f895fb98ab9159f51fd0297e236d","name":"Zoë Example","email":"zoe@example.com","country":"DE","vip":true},"items":[{"sku":"TSHIRT-RED-M","name":"T-shirt, red, medium","quantity":2,"price":24.95,"discount":null},{"sku":"HOODIE-BLACK-L","name":"Hooded sweatshirt, black, large","quantity":1,"price":59.00,"discount":{"code":"SPRING","percent":10}},{"sku":"STICKER-PACK","name":"A pack of twelve stickers","quantity":3,"price":7.00,"discount":null}],"shipping":{"method":"standard","carrier":"dhl","address":{"line1":"1 Example Street","city":"Berlin","postcode":"10115"}},"notes":"Please leave it with the neighbour.","tags":["spring","web","returning"]}},"livemode":true,"request":"req_45c48cce2e2d7fbd"}`

const ordinary = `{"type":[{"prefix":"order."}],"data":{"order":{"status":["paid","shipped"],"total":[{"numeric":[">=",100]}],"customer":{"country":["DE","AT"]},"items":{"sku":[{"wildcard":"HOODIE-*-L"}],"quantity":[1]}}}}`

func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct{ name, pattern string }{
		{"two clauses", `{"type":[{"prefix":"order."}],"data":{"order":{"total":[{"numeric":[">=",100]}]}}}`},
		{"six clauses", ordinary},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, body := mustParse(b, c.pattern), []byte(kilobyte)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := p.Match(body); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkValid is what encoding/json takes to read the same body and to find
// nothing but that it is valid.
func BenchmarkValid(b *testing.B) {
	for b.Loop() {
		json.Valid([]byte(kilobyte))
	}
}

func BenchmarkMatchSetOf100(b *testing.B) {
	var patterns []*Pattern
	for i := range 100 {
		patterns = append(patterns, mustParse(b, strings.Replace(ordinary, "100", fmt.Sprint(100+i), 1)))
	}
	set := NewSet(patterns...)
	body := []byte(kilobyte)
	var held []bool
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if held, err = set.Match(body, held[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	p := mustParse(b, ordinary)
	for b.Loop() {
		if _, err := p.Explain([]byte(kilobyte)); err != nil {
			b.Fatal(err)
		}
	}
}

// adversaries are patterns and the part of a body that is repeated to make them
// slow.
var adversaries = []struct{ name, pattern, before, part, after string }{
	{"wildcard", `{"a":[{"wildcard":"*a*a*a*a*a*a*ab*b"}]}`, `{"a":"`, "aaaaaaaa", `"}`},
	{"wildcards", `{"a":[` + entries(8, `{"wildcard":"aaaaaaaaaaaaaaab*"}`) + `]}`, `{"a":["a"`, `,"aaaaaaaaaaaaaaa"`, `]}`},
	{"arrays", `{"a":{"b":{"c":{"d":[1],"e":[2]},"f":[3]},"g":[4]}}`, `{"a":[{}`, `,{"b":[{"c":[{"d":1},{"e":2}]},{"f":3}]}`, `]}`},
	{"values", `{"a":[` + entries(64, `"aab"`) + `]}`, `{"a":["a"`, `,"aaa"`, `]}`},
	{"prefixes", `{"a":[` + entries(64, `{"prefix":{"equals-ignore-case":"aaab"}}`) + `]}`, `{"a":["a"`, `,"aaaa"`, `]}`},
	{"empty objects", `{"a":{` + manyFields(63) + `}}`, `{"a":[{}`, `,{}`, `]}`},
	{"repeated names", `{"a":{` + manyFields(63) + `}}`, `{"a":1`, `,"a":[]`, `}`},
	{"alternatives", `{"a":{"$or":[` + entries(32, `{"b":[1],"c":[2]}`) + `]}}`, `{"a":[{}`, `,{"b":1}`, `]}`},
	{"digits", `{"a":[` + entries(64, "1234567890.1234567890") + `]}`, `{"a":1234567890.1234567890`, `0000000000`, `1}`},
	{"exponents", `{"a":[` + entries(64, "1") + `]}`, `{"a":1e`, `9999999999`, `}`},
	{"depth", nested(32), `{"a":[`, `[`, ``},
	{"escapes", `{"a":["x"]}`, `{"a":"`, `\u0061`, `"}`},
}

func manyFields(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`"f%d":[1]`, i))
	}
	return strings.Join(fields, ",")
}

// bestTime returns the shortest of five times of a match.
func bestTime(t *testing.T, i, size int) time.Duration {
	p, body := adversary(t, i, size)
	best := time.Hour
	for range 5 {
		start := time.Now()
		p.Match(body)
		best = min(best, time.Since(start))
	}
	return best
}

// adversary returns the pattern and a body of about so many bytes.
func adversary(tb testing.TB, i, size int) (*Pattern, []byte) {
	a := adversaries[i]
	return mustParse(tb, a.pattern), []byte(a.before + strings.Repeat(a.part, size/len(a.part)) + a.after)
}

func BenchmarkAdversary(b *testing.B) {
	for i, a := range adversaries {
		for _, size := range []int{1 << 14, 1 << 18} {
			b.Run(fmt.Sprintf("%s/%dKiB", a.name, size>>10), func(b *testing.B) {
				p, body := adversary(b, i, size)
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					p.Match(body)
				}
			})
		}
	}
}

// The times are the best of several, so that what else the machine does counts
// little; a quadratic matcher would be off by a factor of 16, where 4 is allowed.
func TestTheWorstBodiesTakeTimeInProportionToTheirLength(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures times")
	}
	for i, a := range adversaries {
		short, long := bestTime(t, i, 1<<14), bestTime(t, i, 1<<18)
		if long > 16*4*short {
			t.Errorf("%s: 16 times the body takes %v instead of %v", a.name, long, short)
		}
	}
}

func TestAMatchAllocatesNothing(t *testing.T) {
	p, body := mustParse(t, ordinary), []byte(kilobyte)
	if n := testing.AllocsPerRun(100, func() { p.Match(body) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
