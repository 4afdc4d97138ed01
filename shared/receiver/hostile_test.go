package receiver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookferry/shared/recipe"
)

// What a caller sends is not a key to what we do: a folded, repeated, re-encoded
// or enormous header, and JSON that two readers read in two ways.
func TestHostileCallsOverARealConnection(t *testing.T) {
	v := readVector(t, vectorDir+"stripe.json")
	b := recipeBench(t, v)
	srv := httptest.NewServer(b)
	defer srv.Close()
	sig := v.Headers["Stripe-Signature"]
	at, mac, _ := strings.Cut(sig, ",")
	length := "Content-Length: " + strconv.Itoa(len(v.Body)) + "\r\n"
	for name, c := range map[string]struct {
		head, body string
		status     int
	}{
		"as it is":             {length + "Stripe-Signature: " + sig, v.Body, 200},
		"folded":               {length + "Stripe-Signature: " + at + ",\r\n " + mac, v.Body, 200},
		"twice":                {length + "Stripe-Signature: " + sig + "\r\nstripe-signature: " + sig, v.Body, 200},
		"cut in two":           {length + "Stripe-Signature: " + at + "\r\nStripe-Signature: " + mac, v.Body, 401},
		"another time first":   {length + "Stripe-Signature: t=1,t=" + at[2:] + "," + mac, v.Body, 401},
		"another case of item": {length + "Stripe-Signature: T" + at[1:] + ",V" + mac[1:], v.Body, 401},
		"upper-case hex":       {length + "Stripe-Signature: " + at + ",v1=" + strings.ToUpper(mac[3:]), v.Body, 200},
		"with a NUL":           {length + "Stripe-Signature: " + sig + "\x00", v.Body, 400}, // net/http's own
		"enormous":             {length + "Stripe-Signature: " + sig + strings.Repeat(",v0=00", 1000), v.Body, 401},
		"in chunks":            {"Transfer-Encoding: chunked\r\nStripe-Signature: " + sig, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(v.Body), v.Body), 200},
		"said to be gzip":      {length + "Content-Encoding: gzip\r\nStripe-Signature: " + sig, v.Body, 200},
		"a name with _":        {length + "Stripe_Signature: " + sig, v.Body, 401},
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "POST /in/src_sample HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n\r\n%s", c.head, c.body)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if resp.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", name, resp.StatusCode, c.status)
		}
		conn.Close()
	}
	for _, ev := range b.events(t) {
		if ev.ID != v.Want.ID {
			t.Errorf("accepted %+v", ev)
		}
	}
}

// A template may point deep into what the provider sends; however deep and odd
// that is, it is read in one way or refused, and soon.
func TestHostileJSONUnderAProof(t *testing.T) {
	v := vector{
		Recipe: json.RawMessage(`{"signature":{"header":"X-Sig","scheme":"hmac-sha256","encoding":"hex"},"signed":"{body}","id":"{/a/b/c/d/e/f/g/h}","type":"{/t/0/x}.y","subject":"{/a~1b/m~0n}"}`),
		Secret: "a public sample secret for samples only", Now: start.Unix(),
	}
	rec, err := recipe.Parse(v.Recipe)
	if err != nil {
		t.Fatal(err)
	}
	nest := func(inner string) string { return `"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":` + inner + `}}}}}}}` }
	for body, status := range map[string]int{
		`{` + nest(`"1"`) + `,"t":[{"x":"k"}]}`:                                                   200,
		`{` + nest(`1e400`) + `,"t":[{"x":"k"}],"a/b":{"m~n":"s"}}`:                               200,
		`{` + nest(`"1"`) + `,"t":[{"x":"k"}],"zz":{"b":1,"b":2}}`:                                200, // where nobody looks
		`{` + nest(`"1"`) + `,` + nest(`"2"`) + `,"t":[{"x":"k"}]}`:                               400,
		`{` + nest(`"1"`) + `,"t":[{"x":"k","x":"l"}]}`:                                           400,
		`{` + nest(`"1"`) + `,"t":{"0":{"x":"k"}}}`:                                               200,
		`{` + nest(`"1"`) + `,"t":[{"x":"k"}],"\u0061":{"b":{}}}`:                                 400, // a again, written otherwise
		`{` + nest(`["1"]`) + `,"t":[{"x":"k"}]}`:                                                 400,
		`{` + nest(`"1\u0000"`) + `,"t":[{"x":"k"}]}`:                                             400,
		`{` + nest(`"1"`) + `,"t":[{"x":"k"}],"a/b":{"m~n":"s","m~n":"t"}}`:                       400,
		`{` + nest(`"1"`) + `,"t":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`: 400,
		`{` + nest(strings.Repeat(`{"h":`, 5000)+`1`+strings.Repeat("}", 5000)) + `,"t":[]}`:      400,
		`{` + nest(`"1"`) + `,"t":[{"x":"` + strings.Repeat("k", 200) + `"}]}`:                    400,
		strings.Repeat("[", 200_000):                                                              400,
	} {
		b := recipeBench(t, v)
		req := rec.Sample()
		req.Body = []byte(body)
		_, _ = rec.Compute(req)
		r := post("/in/src_sample", body)
		r.Header = req.Header
		if w := b.do(r); w.Code != status {
			t.Errorf("%.90s: got %d %s, want %d", body, w.Code, w.Body, status)
		}
	}
}
