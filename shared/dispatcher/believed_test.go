package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
)

const trueBody = `{"status":200,"body":{"queueWaitTime":5,"status":"complete","requestId":"r1","designId":"d1","link":"https://sivi/1","result":{"variations":[{"variantImageUrl":"https://sivi/1.png","width":10}]}}}`

// Whoever holds the token of a source can choose every field of the body. What
// is relayed is what Sivi itself says of the request, or nothing.
func TestOnlyWhatSiviAnsweredIsRelayed(t *testing.T) {
	change := func(old, new string) string {
		s := strings.Replace(trueBody, old, new, 1)
		if s == trueBody {
			panic(old + " is not in the body")
		}
		return s
	}
	for name, c := range map[string]struct {
		posted string
		want   string // what is relayed; empty: nothing
	}{
		"the truth":                  {trueBody, trueBody},
		"the truth, later":           {change(`"queueWaitTime":5`, `"queueWaitTime":60`), change(`"queueWaitTime":5`, `"queueWaitTime":60`)},
		"the truth, other word":      {change(`"complete"`, `"completed"`), change(`"complete"`, `"completed"`)},
		"the truth, other order":     {`{"body":` + trueBody[len(`{"status":200,"body":`):len(trueBody)-1] + `,"status":200}`, `{"body":` + trueBody[len(`{"status":200,"body":`):len(trueBody)-1] + `,"status":200}`},
		"the truth, other escapes":   {change(`"d1"`, `"\u0064\u0031"`), change(`"d1"`, `"\u0064\u0031"`)},
		"the truth, other decimals":  {change(`"width":10`, `"width":10.0`), change(`"width":10`, `"width":10.0`)},
		"another image":              {change("https://sivi/1.png", "https://evil/1.png"), trueBody},
		"another link":               {change("https://sivi/1\"", "https://evil/1\""), trueBody},
		"another design":             {change(`"d1"`, `"d2"`), trueBody},
		"one more variation":         {change(`[{`, `[{"variantImageUrl":"https://evil"},{`), trueBody},
		"no result":                  {change(`{"variations":[{"variantImageUrl":"https://sivi/1.png","width":10}]}`, `null`), trueBody},
		"one more field":             {change(`"designId"`, `"reason":"x","designId"`), trueBody},
		"one more field outside":     {change(`{"status":200,`, `{"status":200,"x":1,`), trueBody},
		"a field deep inside twice":  {change(`"variantImageUrl"`, `"variantImageUrl":"https://evil","variantImageUrl"`), trueBody},
		"a number as a text":         {change(`"width":10`, `"width":"10"`), trueBody},
		"another number":             {change(`"width":10`, `"width":1e1`), trueBody},
		"failed":                     {change(`"complete"`, `"failed"`), ""},
		"an unknown word":            {change(`"complete"`, `"preview"`), ""},
		"in progress, with a result": {change(`"complete"`, `"processing"`), ""},
	} {
		for _, confirm := range []relay.Confirm{relay.ConfirmPrefer, relay.ConfirmRequire} {
			t.Run(name+" "+string(confirm), func(t *testing.T) {
				r, s := newSiviRig(t, confirm)
				s.says(trueBody)
				ev := r.siviPost(c.posted, confirm)
				r.run(6 * time.Hour)
				got := r.dest.to("a")
				if c.want == "" {
					if len(got) != 0 || r.status(ev.ID) != relay.EventRejected {
						t.Errorf("%d calls, and the event is %q", len(got), r.status(ev.ID))
					}
					return
				}
				if len(got) != 1 || got[0].body != c.want || r.status(ev.ID) != relay.EventDelivered {
					t.Fatalf("the event is %q; relayed %+v\nwant %s", r.status(ev.ID), got, c.want)
				}
				rec, err := r.store.Event(t.Context(), account, ev.ID, true)
				r.check(err)
				if stored, err := rec.Payload.Bytes(); err != nil || string(stored) != c.want || rec.VerifiedBy != relay.VerifiedByTokenFetch {
					t.Errorf("on record, by %s: %s, %v", rec.VerifiedBy, stored, err)
				}
			})
		}
	}
}

// Forged variants of one outcome are not relayed once each, and what is rejected
// keeps nothing of the truth out.
func TestOneOutcomeOfARequestIsRelayedOnce(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmRequire)
	s.says(trueBody)
	r.siviPost(strings.Replace(trueBody, `"complete"`, `"failed"`, 1), relay.ConfirmRequire) // rejected
	for i := range 5 {
		r.siviPost(strings.Replace(trueBody, "https://sivi/1.png", fmt.Sprintf("https://evil/%d.png", i), 1), relay.ConfirmRequire)
		r.run(time.Minute)
	}
	r.siviPost(trueBody, relay.ConfirmRequire)
	r.run(6 * time.Hour)
	if got := r.dest.to("a"); len(got) != 1 || got[0].body != trueBody {
		t.Errorf("relayed %+v, want Sivi's answer once", got)
	}
}

func TestAConfirmedEventThatComesAgainIsAskedAboutNoMore(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmRequire)
	s.says(trueBody)
	ev := r.siviPost(strings.Replace(trueBody, "sivi/1.png", "evil/1.png", 1), relay.ConfirmRequire)
	r.store.fail("RecordAttempt", "ListEvent")
	r.retries.fail("Send")
	r.settleNow()
	r.store.heal()
	r.retries.heal()
	s.says("404") // whatever it would say now
	r.run(time.Hour)
	if n := s.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	for _, got := range r.dest.to("a") {
		if got.body != trueBody {
			t.Errorf("relayed %s", got.body)
		}
	}
	if st := r.status(ev.ID); st != relay.EventDelivered {
		t.Errorf("the event is %q", st)
	}
}

func TestAnAnswerThatIsTooLargeToRelayCountsAsOutOfReach(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmPrefer)
	s.says(strings.Replace(trueBody, "https://sivi/1.png", "https://sivi/"+strings.Repeat("x", relay.MaxPayload), 1))
	ev := r.siviPost(trueBody, relay.ConfirmPrefer)
	r.run(6 * time.Hour)
	if got := r.dest.to("a"); len(got) != 1 || got[0].body != trueBody || s.count() != 5 {
		t.Errorf("asked %d times, relayed %d", s.count(), len(got))
	}
	if rec, err := r.store.Event(t.Context(), account, ev.ID, true); err != nil || rec.VerifiedBy != relay.VerifiedByToken {
		t.Errorf("verified by %s, %v", rec.VerifiedBy, err)
	}
}

// However many copies of a request's message there are, one owns its chain.
func TestCopiesOfAnExpectMessageAskOnce(t *testing.T) {
	asked := map[int]int{}
	for _, copies := range []int{1, 50} {
		r, s := newSiviRig(t, relay.ConfirmOff)
		s.says("processing")
		now := relay.Millis(r.clock.Now())
		x := relay.Expectation{
			Account: account, SourceID: "src_1", RequestID: "r1", CreatedAt: now,
			NextAt: now.Add(10 * time.Minute), GiveUpAt: now.Add(24 * time.Hour),
		}
		_, err := r.store.PutExpectation(t.Context(), x, 10)
		r.check(err)
		for range copies {
			r.send(r.retries, relay.NewExpectMessage(x, 1))
		}
		r.run(26 * time.Hour)
		asked[copies] = s.count()
		if left := len(r.onQueue(r.retries)); left != 0 {
			t.Errorf("%d copies: %d messages are still on their way", copies, left)
		}
	}
	if asked[1] == 0 || asked[1] != asked[50] {
		t.Errorf("asked %v times by number of copies", asked)
	}
}
