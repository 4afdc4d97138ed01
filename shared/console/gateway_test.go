package console

import (
	"encoding/base64"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"hookferry/shared/lambdahttp"
	"hookferry/shared/telemetry"
)

// The api function answers the console behind a gateway, whose adapter writes
// what is zipped in base64: every file and page is the same there.
func TestTheGatewayHandsOutTheSameBytes(t *testing.T) {
	serve := lambdahttp.Wrap(Handler(next), telemetry.New(slog.New(slog.DiscardHandler), time.Now))
	paths := []string{"/console", "/console/events/evt_1"}
	for name := range load().files {
		paths = append(paths, assetsRoot+load().version+"/"+name)
	}
	for _, path := range paths {
		for _, encoding := range []string{"", "gzip"} {
			ev := events.APIGatewayV2HTTPRequest{RawPath: path, Headers: map[string]string{"accept-encoding": encoding}}
			ev.RequestContext.HTTP.Method, ev.RequestContext.DomainName = "GET", "hooks.example.com"
			got, err := serve(t.Context(), ev)
			if err != nil {
				t.Fatal(err)
			}
			want := call("GET", path, "Accept-Encoding", encoding)
			body := []byte(got.Body)
			if got.IsBase64Encoded {
				if body, err = base64.StdEncoding.DecodeString(got.Body); err != nil {
					t.Fatal(err)
				}
			}
			if got.StatusCode != want.Code || string(body) != want.Body.String() {
				t.Errorf("%s (%s): %d and %d bytes, want %d and %d", path, encoding, got.StatusCode, len(body), want.Code, want.Body.Len())
			}
			for _, name := range []string{"Content-Type", "Content-Encoding", "Cache-Control", "Content-Security-Policy", "ETag"} {
				key := name
				if name == "ETag" {
					key = "Etag"
				}
				if got.Headers[key] != want.Header().Get(name) {
					t.Errorf("%s: %s is %q, want %q", path, name, got.Headers[key], want.Header().Get(name))
				}
			}
		}
	}
}
