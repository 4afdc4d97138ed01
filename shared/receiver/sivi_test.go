package receiver

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
	"hookferry/shared/sivi"
)

func TestASiviCallIsQueuedByteForByte(t *testing.T) {
	b := newBench(t)
	c, err := sivi.Parse([]byte(siviBody))
	if err != nil {
		t.Fatal(err)
	}
	id := sivi.EventID("src_sivi", c, []byte(siviBody))
	w := b.do(post(siviPath("src_sivi", siviToken), siviBody))
	wantAccepted(t, w, id)
	want := []relay.Event{{
		ID: id, Account: "acct_1", Type: "generation.succeeded", Format: relay.FormatSivi,
		SourceID: "src_sivi", VerifiedBy: relay.VerifiedByToken, CreatedAt: relay.Millis(start),
		RequestID: w.Header().Get("X-Request-Id"), Payload: relay.NewPayload([]byte(siviBody)), Subject: "sb1",
	}}
	if diff := cmp.Diff(want, b.events(t), cmpEvents); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	wantAccepted(t, b.do(post(siviPath("src_sivi", siviToken), siviBody)), id)

	pending := strings.Replace(siviBody, "complete", "pending", 1)
	if w := b.do(post(siviPath("src_sivi", siviToken), pending)); w.Code != 200 || strings.Contains(w.Body.String(), id) {
		t.Errorf("another status is another event: got %d %s", w.Code, w.Body)
	}
}

func TestWhichTokensAreGood(t *testing.T) {
	for _, c := range []struct {
		name, source string
		token        relay.Secret
		after        time.Duration
		good         bool
	}{
		{"current", "src_sivi", siviToken, 0, true},
		{"old in its overlap", "src_sivi", oldToken, 59 * time.Minute, true},
		{"old at the overlap's end", "src_sivi", oldToken, time.Hour, false},
		{"current after it", "src_sivi", siviToken, 2 * time.Hour, true},
		{"wrong", "src_sivi", "wrong", 0, false},
		{"cut", "src_sivi", siviToken[:20], 0, false},
		{"longer", "src_sivi", siviToken + "x", 0, false},
		{"other case", "src_sivi", relay.Secret(strings.ToLower(siviToken.Reveal())), 0, false},
		{"empty", "src_sivi", "", 0, false},
		{"any, of a source that has none", "src_notoken", siviToken, 0, false},
		{"empty, of a source that has none", "src_notoken", "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.now = start.Add(c.after)
			w := b.do(post(siviPath(c.source, c.token), siviBody))
			if c.good && w.Code == 200 && len(b.sent) == 1 {
				return
			}
			if c.good {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			b.wantError(t, w, 401, relay.KindTokenInvalid)
		})
	}
}

func TestASiviBodyThatIsNoCallIsRefusedWithTheReason(t *testing.T) {
	b := newBench(t)
	for _, body := range []string{``, `null`, `[]`, `{"status":200,"body":null}`, `{"status":200,"body":{"status":"complete"}}`, "\xff", `{"body":{"requestId":{},"status":1}}`} {
		w := b.do(post(siviPath("src_sivi", siviToken), body))
		b.wantError(t, w, 400, relay.KindValidation)
		if !strings.Contains(w.Body.String(), "Sivi webhook body") {
			t.Errorf("%q: no reason in %s", body, w.Body)
		}
	}
}

func TestConfirmationIsAskedForAllButMereProgress(t *testing.T) {
	for _, c := range []struct {
		confirm relay.Confirm
		key     relay.Sealed
		status  string
		want    relay.Confirm
	}{
		{relay.ConfirmPrefer, "1.sealed", "complete", relay.ConfirmPrefer},
		{relay.ConfirmRequire, "1.sealed", "suspended", relay.ConfirmRequire},
		{relay.ConfirmRequire, "1.sealed", "pending", relay.ConfirmRequire}, // with a result
		{relay.ConfirmRequire, "1.sealed", "new word", relay.ConfirmRequire},
		{relay.ConfirmRequire, "1.sealed", `pending","result":null,"x":"`, ""},
		{relay.ConfirmRequire, "1.sealed", `processing","result":null,"x":"`, ""},
		{relay.ConfirmRequire, "1.sealed", `processing","reason":"no","x":"`, relay.ConfirmRequire},
		{relay.ConfirmOff, "1.sealed", "complete", ""},
		{"", "1.sealed", "complete", ""},
		{relay.ConfirmPrefer, "", "complete", ""},
	} {
		b := newBench(t)
		src := b.sources["src_sivi"]
		src.Confirm, src.APIKey = c.confirm, c.key
		b.sources["src_sivi"] = src
		b.do(post(siviPath("src_sivi", siviToken), strings.Replace(strings.Replace(siviBody, `,"result":{"variations":[]}`, resultUnless(c.status), 1), "complete", c.status, 1)))
		if evs := b.events(t); len(evs) != 1 || evs[0].Confirm != c.want {
			t.Errorf("%+v: got %+v", c, evs)
		}
	}
}

// resultUnless is the result of a body, unless the status brings one of its own.
func resultUnless(status string) string {
	if strings.Contains(status, `"result"`) {
		return ""
	}
	return `,"result":{"variations":[]}`
}
