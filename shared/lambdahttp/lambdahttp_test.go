package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"hookferry/shared/telemetry"
)

// event is what the gateway hands to the function, as JSON: this way the names
// of the fields are tested too.
const event = `{
  "version": "2.0",
  "routeKey": "POST /in/{source}",
  "rawPath": "/in/a%2Fb/c d",
  "rawQueryString": "a=1&a=2&b=%26&empty",
  "cookies": ["one=1", "two=2,3"],
  "headers": {
    "host": "hooks.example.com",
    "rivya-webhook-signature": "v1=abc,v1=def, v2=x",
    "date": "Mon, 11 May 2026 00:00:00 GMT",
    "content-length": "99",
    "x-forwarded-for": "203.0.113.7, 10.0.0.1",
    "x-forwarded-proto": "https",
    "x-empty": ""
  },
  "queryStringParameters": {"a": "1,2"},
  "requestContext": {
    "domainName": "abc.execute-api.us-east-1.amazonaws.com",
    "requestId": "JKJaXmPLvHcESHA=",
    "stage": "$default",
    "http": {"method": "POST", "path": "/in/a%2Fb/c d", "protocol": "HTTP/1.1", "sourceIp": "2001:db8::1"}
  },
  "body": "eyJhIjoi/yJ9",
  "isBase64Encoded": true
}`

func decode(t *testing.T, text string) events.APIGatewayV2HTTPRequest {
	t.Helper()
	var ev events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal([]byte(text), &ev); err != nil {
		t.Fatal(err)
	}
	return ev
}

func call(t *testing.T, h http.HandlerFunc, edit func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPResponse {
	t.Helper()
	ev := decode(t, event)
	if edit != nil {
		edit(&ev)
	}
	resp, err := Wrap(h, nil)(context.Background(), ev)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestTheRequestArrivesAsItWasSent(t *testing.T) {
	called := false
	call(t, func(w http.ResponseWriter, r *http.Request) {
		called = true
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, c := range []struct{ what, got, want string }{
			{"method", r.Method, "POST"},
			{"path", r.URL.Path, "/in/a/b/c d"},
			{"escaped path", r.URL.EscapedPath(), "/in/a%2Fb/c%20d"},
			{"query", r.URL.RawQuery, "a=1&a=2&b=%26&empty"},
			{"host", r.Host, "hooks.example.com"},
			{"peer", r.RemoteAddr, "[2001:db8::1]:0"},
			{"scheme", r.Header.Get("X-Forwarded-Proto"), "https"},
			{"body", string(body), "{\"a\":\"\xff\"}"},
		} {
			if c.got != c.want {
				t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
			}
		}
		want := http.Header{
			"Rivya-Webhook-Signature": {"v1=abc,v1=def, v2=x"},
			"Date":                    {"Mon, 11 May 2026 00:00:00 GMT"},
			"Content-Length":          {"99"},
			"X-Forwarded-For":         {"203.0.113.7, 10.0.0.1"},
			"X-Forwarded-Proto":       {"https"},
			"X-Empty":                 {""},
			"Cookie":                  {"one=1; two=2,3"},
		}
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("headers: -want +got\n%s", diff)
		}
		if got := r.URL.Query()["a"]; !cmp.Equal(got, []string{"1", "2"}) {
			t.Errorf("a is %q", got)
		}
		if c, err := r.Cookie("two"); err != nil || c.Value != "2,3" {
			t.Errorf("cookie two is %v, %v", c, err)
		}
		if r.ContentLength != 9 {
			t.Errorf("length is %d, want 9: that of the body, not of its encoding", r.ContentLength)
		}
	}, nil)
	if !called {
		t.Error("the handler was not called")
	}
}

func TestPathsKeepTheirSpelling(t *testing.T) {
	for raw, want := range map[string][2]string{
		"/":                   {"/", "/"},
		"/a%2Fb":              {"/a/b", "/a%2Fb"},
		"/a%2fb":              {"/a/b", "/a%2fb"},
		"//host/x":            {"//host/x", "//host/x"},
		"/a?b":                {"/a?b", "/a%3Fb"},
		"/100%/%zz/%2":        {"/100%/%zz/%2", "/100%25/%25zz/%252"},
		"/%+1":                {"/%+1", "/%25+1"},
		"/a%2Fb/<\"|c d>":     {"/a/b/<\"|c d>", "/a%2Fb/%3C%22%7Cc%20d%3E"},
		"/100%":               {"/100%", "/100%25"},
		"/é":                  {"/é", "/%C3%A9"},
		"/in/src_1/tok-En_9~": {"/in/src_1/tok-En_9~", "/in/src_1/tok-En_9~"},
	} {
		call(t, func(w http.ResponseWriter, r *http.Request) {
			if got := [2]string{r.URL.Path, r.URL.EscapedPath()}; got != want {
				t.Errorf("%s: got %q, want %q", raw, got, want)
			}
			if r.RequestURI != want[1]+"?a=1&a=2&b=%26&empty" && raw != "//host/x" {
				t.Errorf("%s: RequestURI is %q", raw, r.RequestURI)
			}
		}, func(ev *events.APIGatewayV2HTTPRequest) { ev.RawPath = raw })
	}
}

func TestAMuxSeesTheSegmentsOfAnEscapedPath(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /in/{source}/{rest}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.PathValue("source"))
	})
	if resp := call(t, mux.ServeHTTP, nil); resp.StatusCode != 200 || resp.Body != "a/b" {
		t.Errorf("got %d %q, want the segment a/b", resp.StatusCode, resp.Body)
	}
}

func TestPlainBodiesAndMissingPartsAreTaken(t *testing.T) {
	call(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"ü":1}` || r.ContentLength != 8 {
			t.Errorf("got %q of %d, %v", body, r.ContentLength, err)
		}
		if r.Host != "abc.execute-api.us-east-1.amazonaws.com" || r.Header.Get("X-Forwarded-Proto") != "https" || r.Header.Get("Cookie") != "" {
			t.Errorf("host %q, headers %v", r.Host, r.Header)
		}
	}, func(ev *events.APIGatewayV2HTTPRequest) {
		ev.Body, ev.IsBase64Encoded, ev.Headers, ev.Cookies = `{"ü":1}`, false, nil, nil
	})
	call(t, func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n != 0 || err != nil || r.ContentLength != 0 {
			t.Errorf("an empty body has %d bytes of %d, %v", n, r.ContentLength, err)
		}
	}, func(ev *events.APIGatewayV2HTTPRequest) { ev.Body, ev.IsBase64Encoded = "", false })
}

func TestARequestThatCannotBeReadIsA400AndNoCall(t *testing.T) {
	for name, edit := range map[string]func(*events.APIGatewayV2HTTPRequest){
		"base64": func(ev *events.APIGatewayV2HTTPRequest) { ev.Body = "%%%" },
		"method": func(ev *events.APIGatewayV2HTTPRequest) { ev.RequestContext.HTTP.Method = "P T" },
	} {
		resp := call(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: called", name) }, edit)
		checkError(t, resp, 400, "validation_failed")
	}
}

func checkError(t *testing.T, resp events.APIGatewayV2HTTPResponse, status int, code string) {
	t.Helper()
	var got struct {
		Error struct{ Code, Message, RequestID string }
	}
	if err := json.Unmarshal([]byte(resp.Body), &got); err != nil {
		t.Fatalf("%q: %v", resp.Body, err)
	}
	id := resp.Headers["X-Request-Id"]
	if resp.StatusCode != status || got.Error.Code != code || got.Error.Message == "" || got.Error.RequestID != id || !strings.HasPrefix(id, "req_") {
		t.Errorf("got %+v", resp)
	}
}

func TestAnswers(t *testing.T) {
	type resp = events.APIGatewayV2HTTPResponse
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  resp
	}{
		"nothing at all": {
			func(http.ResponseWriter, *http.Request) {},
			resp{StatusCode: 200, Headers: map[string]string{}},
		},
		"a status alone": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
			resp{StatusCode: 204, Headers: map[string]string{}},
		},
		"text": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(202)
			io.WriteString(w, `{"ü":`)
			io.WriteString(w, `"\ufffe"}`)
		}, resp{StatusCode: 202, Headers: map[string]string{"Content-Type": "application/json"}, Body: `{"ü":"\ufffe"}`}},
		"text of no declared type": {
			func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
			resp{StatusCode: 200, Headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, Body: "hello"},
		},
		"binary": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			w.Write([]byte{0x89, 'P', 0, 0xff})
		}, resp{
			StatusCode: 200, Headers: map[string]string{"Content-Type": "image/png"},
			Body: base64.StdEncoding.EncodeToString([]byte{0x89, 'P', 0, 0xff}), IsBase64Encoded: true,
		}},
		"an encoded body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "ascii all the same")
		}, resp{
			StatusCode: 200, Headers: map[string]string{"Content-Type": "text/plain", "Content-Encoding": "gzip"},
			Body: base64.StdEncoding.EncodeToString([]byte("ascii all the same")), IsBase64Encoded: true,
		}},
		"headers of several values": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Allow"] = []string{"GET", "POST"}
			w.Header().Set("X-Signature", "v1=a,v1=b")
		}, resp{StatusCode: 200, Headers: map[string]string{"Allow": "GET, POST", "X-Signature": "v1=a,v1=b"}}},
		"cookies": {func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Expires: time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)})
			http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		}, resp{StatusCode: 200, Headers: map[string]string{}, Cookies: []string{"a=1; Expires=Mon, 11 May 2026 00:00:00 GMT", "b=2"}}},
		"a header set too late, a second status": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			w.Header().Set("X-Early", "1")
			w.WriteHeader(404)
			w.Header().Set("X-Late", "1")
			w.WriteHeader(200)
		}, resp{StatusCode: 404, Headers: map[string]string{"X-Early": "1"}}},
	} {
		if diff := cmp.Diff(c.want, call(t, c.serve, nil)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestAPanicIsOneLineAndA500ThatGivesNothingAway(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"before the answer":  func(http.ResponseWriter, *http.Request) { panic("database password") },
		"within the answer":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "half"); panic("database password") },
		"an impossible code": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) },
	} {
		var out bytes.Buffer
		log := telemetry.New(slog.New(slog.NewJSONHandler(&out, nil)), time.Now)
		resp, err := Wrap(serve, log)(context.Background(), decode(t, event))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkError(t, resp, 500, "internal_error")
		if strings.Contains(resp.Body, "password") || strings.Contains(resp.Body, "half") || strings.Contains(resp.Body, "goroutine") {
			t.Errorf("%s: the answer gives the cause away: %s", name, resp.Body)
		}
		if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "JKJaXmPLvHcESHA=") || !strings.Contains(out.String(), "lambdahttp_test.go") {
			t.Errorf("%s: want one line with the gateway's request id and the stack, got %s", name, out.String())
		}
	}
}

func TestTheInvocationsContextIsTheRequests(t *testing.T) {
	deadline := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	serve := func(w http.ResponseWriter, r *http.Request) {
		if got, ok := r.Context().Deadline(); !ok || !got.Equal(deadline) {
			t.Errorf("deadline is %v, want %v", got, deadline)
		}
		cancel()
		if r.Context().Err() == nil {
			t.Error("the request goes on when the invocation is cancelled")
		}
	}
	if _, err := Wrap(http.HandlerFunc(serve), nil)(ctx, decode(t, event)); err != nil {
		t.Fatal(err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("/in/a%2Fb", "a=1&a=2", "v1=a,v1=b", "eyJ9", true, "POST")
	f.Add("//x", "%zz", "", "\xff", false, "GET")
	f.Fuzz(func(t *testing.T, path, query, header, body string, encoded bool, method string) {
		ev := events.APIGatewayV2HTTPRequest{
			RawPath: path, RawQueryString: query, Body: body, IsBase64Encoded: encoded,
			Headers: map[string]string{"x-h": header},
		}
		ev.RequestContext.HTTP.Method = method
		resp, err := Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			if err != nil || r.URL.RawQuery != query || r.URL.EscapedPath() != escape(path) && path != "" && path != "*" || r.Header.Get("X-H") != header {
				t.Errorf("got query %q, header %q, %v", r.URL.RawQuery, r.Header.Get("X-H"), err)
			}
			w.Write(got)
		}), nil)(context.Background(), ev)
		if err != nil || resp.StatusCode != 200 && resp.StatusCode != 400 {
			t.Fatalf("got %+v, %v", resp, err)
		}
		if resp.StatusCode == 400 && !encoded && validMethod(method) {
			t.Fatalf("refused %q %q", method, path)
		}
		if resp.StatusCode == 200 && !encoded {
			back := resp.Body
			if resp.IsBase64Encoded {
				raw, err := base64.StdEncoding.DecodeString(back)
				if err != nil {
					t.Fatal(err)
				}
				back = string(raw)
			}
			if back != body || !utf8.ValidString(resp.Body) {
				t.Fatalf("%q came back as %q", body, back)
			}
		}
	})
}

func validMethod(method string) bool {
	_, err := http.NewRequest(method, "/", nil)
	return err == nil
}
