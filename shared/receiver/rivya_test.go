package receiver

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

func TestASignedRivyaCallIsQueuedByteForByte(t *testing.T) {
	b := newBench(t)
	// Odd but signed: what is relayed is what came, and not what it means.
	body := " {\"id\" : \"evt_1\",\n\"type\":\"generation.succeeded\",\"x\":\"\\u00e9\\ufffe é<&>\",\"n\":1.0e2} "
	w := b.do(signed(t, "src_rivya", body, start, rivyaSecret))
	wantAccepted(t, w, "evt_1")
	want := []relay.Event{{
		ID: "evt_1", Account: "acct_1", Type: "generation.succeeded", Format: relay.FormatRivya,
		SourceID: "src_rivya", VerifiedBy: relay.VerifiedBySignature, CreatedAt: relay.Millis(start),
		RequestID: w.Header().Get("X-Request-Id"), Payload: relay.NewPayload([]byte(body)),
		Key: "evt_1@src_rivya",
	}}
	if diff := cmp.Diff(want, b.events(t), cmpEvents); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if out := b.sent[0]; out.Delay != 0 || out.Group != "acct_1" {
		t.Errorf("sent with delay %s and group %q", out.Delay, out.Group)
	}
}

func TestATestEventIsMarked(t *testing.T) {
	b := newBench(t)
	r := signed(t, "src_rivya", `{"id":"evt_1","type":"webhook.test"}`, start, rivyaSecret)
	wantAccepted(t, b.do(r), "evt_1")
	if ev := b.events(t)[0]; !ev.Test || ev.Type != relay.TypeTest {
		t.Errorf("got %+v", ev)
	}
}

func TestARepeatedCallIsAnsweredAndSentAgain(t *testing.T) {
	b := newBench(t)
	for range 2 {
		wantAccepted(t, b.do(signed(t, "src_rivya", rivyaBody, start, rivyaSecret)), "evt_1")
	}
	first, err1 := relay.DecodeMessage(b.sent[0].Body)
	second, err2 := relay.DecodeMessage(b.sent[1].Body)
	if err1 != nil || err2 != nil || first.Event.ID != second.Event.ID || first.MID == second.MID {
		t.Errorf("want the same event under two message ids: %v %v, %s and %s", err1, err2, first.MID, second.MID)
	}
}

func TestWhichSignaturesAreGood(t *testing.T) {
	for _, c := range []struct {
		name, source string
		at           time.Duration // of the clock, after start
		secrets      []relay.Secret
		edit         func(h http.Header)
		status       int
	}{
		{"the current secret", "src_rivya", 0, []relay.Secret{rivyaSecret}, nil, 200},
		{"one of several", "src_rivya", 0, []relay.Secret{"wrong-secret", "another-wrong", rivyaSecret}, nil, 200},
		{"another secret", "src_rivya", 0, []relay.Secret{oldSecret}, nil, 401},
		{"the old secret in its overlap", "src_rotated", 59 * time.Minute, []relay.Secret{oldSecret}, nil, 200},
		{"the new secret in the overlap", "src_rotated", 59 * time.Minute, []relay.Secret{rivyaSecret}, nil, 200},
		{"the old secret at the overlap's end", "src_rotated", time.Hour, []relay.Secret{oldSecret}, nil, 401},
		{"the new secret after the overlap", "src_rotated", 2 * time.Hour, []relay.Secret{rivyaSecret}, nil, 200},
		{"unknown versions beside it", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Set(headerSignature, "v0=00, v2=zz,"+h.Get(headerSignature)+",x")
		}, 200},
		{"two header fields", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h[headerSignature] = []string{"v1=" + strings.Repeat("0", 64), h.Get(headerSignature)}
		}, 200},
		{"only an unknown version", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Set(headerSignature, strings.Replace(h.Get(headerSignature), "v1", "v2", 1))
		}, 401},
		{"no signature", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) { h.Del(headerSignature) }, 401},
		{"no timestamp", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) { h.Del(headerTimestamp) }, 401},
		{"two timestamps", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Add(headerTimestamp, strconv.FormatInt(start.Unix()+1, 10))
		}, 401},
		{"a timestamp that a proxy repeats", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Add(headerTimestamp, h.Get(headerTimestamp))
		}, 200},
		{"a timestamp repeated and joined", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Set(headerTimestamp, h.Get(headerTimestamp)+", "+h.Get(headerTimestamp))
		}, 200},
		{"a timestamp and its beginning", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Set(headerTimestamp, h.Get(headerTimestamp)+","+h.Get(headerTimestamp)[:5])
		}, 401},
		{"a timestamp in words", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) { h.Set(headerTimestamp, "now") }, 401},
		{"another timestamp", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Set(headerTimestamp, strconv.FormatInt(start.Unix()+1, 10))
		}, 401},
		{"a deployment's own prefix", "src_rivya", 0, []relay.Secret{rivyaSecret}, func(h http.Header) {
			h.Set("Acme-Webhook-Signature", h.Get(headerSignature))
			h.Del(headerSignature)
		}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.now = start.Add(c.at)
			r := signed(t, c.source, rivyaBody, b.now, c.secrets...)
			if c.name == "another timestamp" {
				r = signed(t, c.source, rivyaBody, start, c.secrets...)
			}
			if c.edit != nil {
				c.edit(r.Header)
			}
			if w := b.do(r); c.status == 200 {
				wantAccepted(t, w, "evt_1")
			} else {
				b.wantError(t, w, c.status, relay.KindSignatureInvalid)
			}
		})
	}
}

func TestATimestampIsGoodForFiveMinutesEitherWay(t *testing.T) {
	at := start.Truncate(time.Second)
	for off, good := range map[time.Duration]bool{
		-5 * time.Minute: true, 5 * time.Minute: true,
		-5*time.Minute - time.Second: false, 5*time.Minute + time.Second: false, 24 * time.Hour: false,
	} {
		b := newBench(t)
		b.now = at
		w := b.do(signed(t, "src_rivya", rivyaBody, at.Add(off), rivyaSecret))
		if good {
			wantAccepted(t, w, "evt_1")
		} else {
			b.wantError(t, w, 401, relay.KindSignatureInvalid)
		}
	}
}

func TestAChangedBodyIsRefused(t *testing.T) {
	b := newBench(t)
	r := signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
	r.Body = io.NopCloser(strings.NewReader(strings.Replace(rivyaBody, "task_1", "task_2", 1)))
	b.wantError(t, b.do(r), 401, relay.KindSignatureInvalid)
}

func TestTheHeaderIDMustBeTheBodysOnceTheProofIsRight(t *testing.T) {
	b := newBench(t)
	r := signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
	r.Header.Set(headerID, "evt_2")
	b.wantError(t, b.do(r), 400, relay.KindValidation)

	r = signed(t, "src_rivya", rivyaBody, start, oldSecret)
	r.Header.Set(headerID, "evt_2")
	b.wantError(t, b.do(r), 401, relay.KindSignatureInvalid)

	r = signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
	r.Header[headerID] = []string{"evt_1", "evt_2"}
	b.wantError(t, b.do(r), 400, relay.KindValidation)

	b.sent = nil
	for _, repeated := range [][]string{{"evt_1", "evt_1"}, {"evt_1,evt_1"}, {" evt_1 ", "evt_1", "evt_1"}} {
		r = signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
		r.Header[headerID] = repeated
		wantAccepted(t, b.do(r), "evt_1")
	}
	b.sent = nil
	for _, other := range []string{"evt_1evt_1", "evt_1,", "evt_1,evt_", ",evt_1", "evt_1;evt_1"} {
		r = signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
		r.Header.Set(headerID, other)
		b.wantError(t, b.do(r), 400, relay.KindValidation)
	}

	r = signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
	r.Header.Del(headerID)
	wantAccepted(t, b.do(r), "evt_1")
}

func TestASignedBodyThatIsNoEventIsRefused(t *testing.T) {
	for name, body := range map[string]string{
		"empty":                 ``,
		"not JSON":              `id=evt_1`,
		"cut off":               `{"id":"evt_1","type":"generation.succeeded"`,
		"trailing":              `{"id":"evt_1","type":"generation.succeeded"}{}`,
		"array":                 `[{"id":"evt_1","type":"generation.succeeded"}]`,
		"null":                  `null`,
		"not UTF-8":             "{\"id\":\"evt_1\",\"type\":\"generation.succeeded\",\"x\":\"\xff\"}",
		"byte order mark":       "\ufeff" + `{"id":"evt_1","type":"generation.succeeded"}`,
		"no id":                 `{"type":"generation.succeeded"}`,
		"id in other case":      `{"ID":"evt_1","type":"generation.succeeded"}`,
		"null id":               `{"id":null,"type":"generation.succeeded"}`,
		"number id":             `{"id":1,"type":"generation.succeeded"}`,
		"empty id":              `{"id":"","type":"generation.succeeded"}`,
		"id of 129":             `{"id":"` + strings.Repeat("x", 129) + `","type":"generation.succeeded"}`,
		"id with a newline":     `{"id":"evt\n1","type":"generation.succeeded"}`,
		"id not ASCII":          `{"id":"évt","type":"generation.succeeded"}`,
		"no type":               `{"id":"evt_1"}`,
		"type in capitals":      `{"id":"evt_1","type":"Generation.Succeeded"}`,
		"type of one word":      `{"id":"evt_1","type":"ping"}`,
		"type is *":             `{"id":"evt_1","type":"*"}`,
		"type is an array":      `{"id":"evt_1","type":["generation.succeeded"]}`,
		"two ids":               `{"id":"evt_1","type":"generation.succeeded","id":"evt_1"}`,
		"two types, one hidden": `{"id":"evt_1","type":"generation.failed","\u0074ype":"generation.succeeded"}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.wantError(t, b.do(signed(t, "src_rivya", body, start, rivyaSecret)), 400, relay.KindValidation)
			r := signed(t, "src_rivya", body, start, oldSecret)
			b.wantError(t, b.do(r), 401, relay.KindSignatureInvalid)
		})
	}
}

func TestASourceWithoutASecretAsksRivyaToTryAgain(t *testing.T) {
	b := newBench(t)
	b.wantError(t, b.do(signed(t, "src_nosecret", rivyaBody, start, rivyaSecret)), 503, relay.KindUnavailable)
	b.wantError(t, b.do(post("/in/src_nosecret", rivyaBody)), 503, relay.KindUnavailable)
	if log := b.log.String(); strings.Contains(log, "ERROR") || strings.Contains(log, "server_errors") || !strings.Contains(log, `"rejected_no_secret":1`) {
		t.Errorf("what its owner has yet to do is no failure of ours: %s", log)
	}
}

// An event of Rivya is about its generation. A body that does not say which in one
// way, or in no text that can be shown, is about none, and taken all the same.
func TestTheSubjectOfARivyaEventIsItsGeneration(t *testing.T) {
	for data, want := range map[string]string{
		`{"generation":{"id":"task_1","x":1}}`: "task_1", `{"generation":{"id":1}}`: "", `{"generation":{"id":""}}`: "", `{"generation":null}`: "", `null`: "", `[]`: "",
		`{"generation":{"id":"a","id":"b"}}`: "", `{"generation":{"id":"a"},"generation":{"id":"b"}}`: "", `{"generation":{"id":"a\u0000"}}`: "",
		`{"generation":{"id":"` + strings.Repeat("é", 256) + `"}}`: strings.Repeat("é", 256), `{"generation":{"id":"` + strings.Repeat("é", 257) + `"}}`: "",
	} {
		b := newBench(t)
		wantAccepted(t, b.do(signed(t, "src_rivya", `{"id":"evt_1","type":"generation.succeeded","data":`+data+`}`, start, rivyaSecret)), "evt_1")
		if got := b.events(t)[0].Subject; got != want {
			t.Errorf("%.60s: subject %q, want %q", data, got, want)
		}
	}
}
