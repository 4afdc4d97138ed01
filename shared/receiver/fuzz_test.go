package receiver

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"hookferry/shared/relay"
)

// FuzzRivyaBody: a signed body is taken whole or refused with 400, and what is
// taken has the id and type that every JSON reader finds in it.
func FuzzRivyaBody(f *testing.F) {
	for _, body := range []string{
		rivyaBody, ``, `{}`, `null`, `{"id":"evt_1","type":"a.b","id":"evt_2"}`,
		`{"ID":"x","id":"y","type":"a.b","Type":"c.d"}`, `{"\u0069d":"e\u0076t","type":"a.b_1.c"}`, "{\"id\":\"\xff\",\"type\":\"a.b\"}",
	} {
		f.Add([]byte(body))
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > relay.MaxPayload {
			return
		}
		b.sent = nil
		b.log.Reset()
		r := signed(t, "src_rivya", string(body), start, rivyaSecret)
		r.Header.Del(headerID)
		w := b.do(r)
		if w.Code == 400 {
			b.wantError(t, w, 400, relay.KindValidation)
			return
		}
		evs := b.events(t)
		if w.Code != 200 || len(evs) != 1 {
			t.Fatalf("%q: got %d, %d events", body, w.Code, len(evs))
		}
		var seen map[string]json.RawMessage
		var id, typ string
		if json.Unmarshal(body, &seen) != nil || json.Unmarshal(seen["id"], &id) != nil || json.Unmarshal(seen["type"], &typ) != nil ||
			id != evs[0].ID || typ != evs[0].Type || !relay.ValidEventID(id) || !relay.ValidEventType(typ) {
			t.Fatalf("%q: got id %q and type %q", body, evs[0].ID, evs[0].Type)
		}
		wantPayload(t, evs[0], body)
	})
}

// FuzzSiviBody: a body with the right token is taken whole or refused with 400.
func FuzzSiviBody(f *testing.F) {
	for _, body := range []string{siviBody, ``, `{"body":null}`, `{"status":200,"body":{"requestId":1,"status":2}}`} {
		f.Add([]byte(body))
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > relay.MaxPayload {
			return
		}
		b.sent = nil
		b.log.Reset()
		w := b.do(post(siviPath("src_sivi", siviToken), string(body)))
		if w.Code == 400 {
			b.wantError(t, w, 400, relay.KindValidation)
			return
		}
		evs := b.events(t)
		if w.Code != 200 || len(evs) != 1 || !relay.ValidEventID(evs[0].ID) {
			t.Fatalf("%q: got %d, %+v", body, w.Code, evs)
		}
		wantPayload(t, evs[0], body)
	})
}

// FuzzPath: whatever is called without a proof is refused by the caller's fault.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/in/src_rivya", "/in/src_sivi/x", "/in/", "/in//", "/in/src_nosecret", "/in/\x00", "//in/src_rivya"} {
		f.Add(path)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, path string) {
		b.lookups = nil
		b.log.Reset()
		r := post("/", rivyaBody)
		r.URL.Path = path
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if w.Code != 401 && w.Code != 404 && path != "/in/src_nosecret" || len(b.sent) != 0 {
			t.Fatalf("%q: got %d", path, w.Code)
		}
		for _, id := range b.lookups {
			if !plausibleSource(id) {
				t.Fatalf("%q: looked up %q", path, id)
			}
		}
	})
}

func wantPayload(t *testing.T, ev relay.Event, body []byte) {
	t.Helper()
	got, err := ev.Payload.Bytes()
	if err != nil || string(got) != string(body) {
		t.Fatalf("payload %q, %v, want %q", got, err, body)
	}
}
