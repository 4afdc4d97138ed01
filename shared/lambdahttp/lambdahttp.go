// Package lambdahttp serves an http.Handler behind an API Gateway HTTP API
// (payload format 2.0).
//
// It is our own because the request must arrive exactly as it was sent: a
// signature header is not cut at its commas, a body that the gateway encoded in
// base64 is decoded before anyone computes an HMAC of it, and %2F in a path
// stays what it was. The libraries that were tried lose one of these.
package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// A Function is what lambda.Start takes.
type Function func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)

// Wrap returns the function that answers the gateway's events with h. The
// request's context is the invocation's, with its deadline, and its lines carry
// the gateway's request id as gateway_request_id. A panic of h is one line and a
// 500 that gives nothing away. The error is always nil: one would make Lambda
// call again, or the gateway answer in its own words.
func Wrap(h http.Handler, log *telemetry.Log) Function {
	return func(ctx context.Context, ev events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx = telemetry.With(ctx, slog.String("gateway_request_id", ev.RequestContext.RequestID))
		r, ok := request(ctx, ev)
		if !ok {
			return failure(relay.KindValidation, http.StatusBadRequest, "The request cannot be read."), nil
		}
		return serve(h, r, log), nil
	}
}

// serve calls h, and answers for it when it panics.
func serve(h http.Handler, r *http.Request, log *telemetry.Log) (resp events.APIGatewayV2HTTPResponse) {
	defer func() {
		if p := recover(); p != nil {
			log.Failure(r.Context(), "panic", fmt.Errorf("%v", p), slog.String("stack", string(debug.Stack())))
			resp = failure(relay.KindInternal, http.StatusInternalServerError, "Something went wrong on our side.")
		}
	}()
	w := &recorder{header: http.Header{}}
	h.ServeHTTP(w, r)
	return w.response()
}

// request returns the request as the gateway got it; false if there is none in
// the event.
func request(ctx context.Context, ev events.APIGatewayV2HTTPRequest) (*http.Request, bool) {
	body := []byte(ev.Body)
	if ev.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(ev.Body); err != nil {
			return nil, false
		}
	}
	r, err := http.NewRequestWithContext(ctx, ev.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	// Not parsed as one text, in which "//a" would be a host.
	raw := escape(ev.RawPath)
	path, err := url.PathUnescape(raw)
	if err != nil {
		return nil, false
	}
	r.URL = &url.URL{Path: path, RawPath: raw, RawQuery: ev.RawQueryString}
	r.RequestURI = r.URL.RequestURI()

	for name, value := range ev.Headers {
		r.Header.Set(name, value)
	}
	if len(ev.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(ev.Cookies, "; "))
	}
	// As net/http does it: the host is no header, the length is what came.
	r.Host = ev.RequestContext.DomainName
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	r.Header.Del("Host")
	r.ContentLength = int64(len(body))
	r.RemoteAddr = net.JoinHostPort(ev.RequestContext.HTTP.SourceIP, "0")
	if r.Header.Get("X-Forwarded-Proto") == "" {
		r.Header.Set("X-Forwarded-Proto", "https") // an HTTP API has no other
	}
	return r, true
}

// escape returns the path with what may not be in one escaped, which the gateway
// hands on, and with the escapes that are there.
func escape(path string) string {
	var out strings.Builder
	for i := range len(path) {
		c := path[i]
		_, err := strconv.ParseUint(path[min(i+1, len(path)):min(i+3, len(path))], 16, 8)
		escapes := c == '%' && i+2 < len(path) && err == nil
		if !escapes && (c <= ' ' || c >= 0x7f || strings.IndexByte("%?#\"<>\\^`{|}", c) >= 0) {
			fmt.Fprintf(&out, "%%%02X", c)
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

// A recorder keeps what a handler writes.
type recorder struct {
	header http.Header
	status int
	sent   http.Header // the header as it was when the status was written
	body   []byte
}

// Header returns the header that WriteHeader will send.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader takes the first status that is not informational.
func (w *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid status %d", status))
	}
	if w.status == 0 && status >= 200 {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write appends to the body.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, p...)
	return len(p), nil
}

// response returns what the gateway sends: text as it is, anything else in
// base64. A handler that wrote nothing has answered 200.
func (w *recorder) response() events.APIGatewayV2HTTPResponse {
	w.WriteHeader(http.StatusOK)
	resp := events.APIGatewayV2HTTPResponse{StatusCode: w.status, Headers: map[string]string{}}
	if len(w.body) > 0 && w.sent.Get("Content-Type") == "" {
		w.sent.Set("Content-Type", http.DetectContentType(w.body)) // the gateway would say JSON
	}
	for name, values := range w.sent {
		if name == "Set-Cookie" {
			resp.Cookies = values // joined with commas they would be one
			continue
		}
		resp.Headers[name] = strings.Join(values, ", ")
	}
	if resp.IsBase64Encoded = !utf8.Valid(w.body) || w.sent.Get("Content-Encoding") != ""; resp.IsBase64Encoded {
		resp.Body = base64.StdEncoding.EncodeToString(w.body)
	} else {
		resp.Body = string(w.body)
	}
	return resp
}

// failure is the answer that no handler gave, in the form of all others.
func failure(kind relay.Kind, status int, message string) events.APIGatewayV2HTTPResponse {
	id := relay.NewID(relay.RequestPrefix, time.Now())
	body, err := json.Marshal(map[string]any{"error": map[string]string{"code": string(kind), "message": message, "requestId": id}})
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return events.APIGatewayV2HTTPResponse{
		StatusCode: status, Body: string(body),
		Headers: map[string]string{"Content-Type": "application/json", "X-Request-Id": id},
	}
}
