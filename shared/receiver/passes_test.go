package receiver

import (
	"net/http"
	"testing"

	"hookferry/shared/relay"
)

func TestAProvedCallSaysHowOftenItPassedAndItsTrace(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, r := range map[string]*http.Request{
		"signed": signed(t, "src_rivya", rivyaBody, start, rivyaSecret),
		"token":  post(siviPath("src_sivi", siviToken), siviBody),
	} {
		b := newBench(t)
		r.Header.Set(relay.PassesHeader, "4")
		r.Header.Set("Traceparent", trace)
		if w := b.do(r); w.Code != 200 || len(b.sent) != 1 {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		m, err := relay.DecodeMessage(b.sent[0].Body)
		if err != nil || m.Event.Passes != 4 || m.Event.TraceParent != trace {
			t.Errorf("%s: %d passes, trace %q, %v", name, m.Event.Passes, m.Event.TraceParent, err)
		}
	}
}
