package receiver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
)

// A caller is a provider's way to call a source of its own, with a proof that is
// good for that source alone.
type caller struct {
	source string
	body   string            // in which an attacker may choose every field
	header map[string]string // and every header, but for the proof
	call   func(c caller) *http.Request
}

const standardSecret = relay.Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw4z")

// callers puts two sources of each provider on the bench, all of one account:
// the first of each is somebody's, the second an attacker's.
func callers(t *testing.T, b *bench) (victims, attackers map[string]caller) {
	t.Helper()
	ours := `{"signature":{"header":"X-Sig","scheme":"hmac-sha256","encoding":"hex"},"signed":"{body}","id":"{/id}","type":"{/type}","subject":"{/about}"}`
	theirs := strings.Replace(ours, `"{/id}"`, `"{header:X-Id}"`, 1)
	theirs = strings.TrimSuffix(theirs, "}") + `,"unsigned":["id"]}`
	sources := map[string]relay.Source{}
	add := func(id string, p relay.Provider, secret relay.Secret, text string) {
		src := relay.Source{ID: id, Account: "acct_1", Provider: p, Status: relay.Active, Name: "n"}
		if p == relay.Sivi {
			src.TokenHash = relay.HashSecret(secret)
		} else {
			src.Secret = b.keys.Seal(secret, seal.Place{Account: "acct_1", Object: id, Field: "signing_secret"})
		}
		parse := recipe.Parse
		if p == relay.Standard {
			parse = recipe.Standard
		}
		if p == relay.Standard || p == relay.HMAC {
			rec, err := parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			whole, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			src.Recipe = string(whole)
		}
		sources[id] = src
	}
	victims, attackers = map[string]caller{}, map[string]caller{}
	for who, of := range map[string]map[string]caller{"victim": victims, "attacker": attackers} {
		id := func(p string) string { return "src_" + p + who }
		secret := relay.Secret("a secret of the " + who + " alone")
		add(id("rivya"), relay.Rivya, secret, "")
		of["rivya"] = caller{id("rivya"), strings.Replace(rivyaBody, "evt_1", "evt_"+who, 1), nil, func(c caller) *http.Request {
			r := signed(t, c.source, c.body, b.now, secret)
			r.Header.Del(headerID)
			return r
		}}
		add(id("sivi"), relay.Sivi, secret, "")
		of["sivi"] = caller{id("sivi"), strings.Replace(siviBody, "sb1", "sb-"+who, 1), nil, func(c caller) *http.Request {
			return post("/in/"+c.source+"/"+strings.ReplaceAll(secret.Reveal(), " ", "%20"), c.body)
		}}
		std := standardSecret
		if who == "attacker" {
			std = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
		}
		add(id("standard"), relay.Standard, std, "")
		of["standard"] = caller{id("standard"), `{"type":"order.paid","id":"x"}`, map[string]string{"webhook-id": "msg_" + who}, func(c caller) *http.Request {
			sig, err := signature.SignStandard(c.header["webhook-id"], b.now.Unix(), []byte(c.body), std)
			if err != nil {
				return nil // the attacker cannot sign it either
			}
			r := post("/in/"+c.source, c.body)
			r.Header.Set("webhook-timestamp", strconv.FormatInt(b.now.Unix(), 10))
			r.Header.Set("webhook-signature", sig)
			return r
		}}
		text := ours
		if who == "attacker" {
			text = theirs
		}
		add(id("hmac"), relay.HMAC, secret, text)
		of["hmac"] = caller{id("hmac"), `{"id":"h-` + who + `","type":"order.paid","about":"o1"}`, map[string]string{"X-Id": "h-" + who}, func(c caller) *http.Request {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(c.body))
			r := post("/in/"+c.source, c.body)
			r.Header.Set("X-Sig", hex.EncodeToString(mac.Sum(nil)))
			return r
		}}
	}
	for id, src := range sources {
		b.sources[id] = src
	}
	return victims, attackers
}

func (b *bench) calls(c caller) (events []relay.Event, status int) {
	b.sent = nil
	r := c.call(c)
	if r == nil {
		return nil, 0
	}
	for name, v := range c.header {
		r.Header.Set(name, v)
	}
	w := b.do(r)
	for _, out := range b.sent {
		m, err := relay.DecodeMessage(out.Body)
		if err != nil {
			panic(err)
		}
		events = append(events, *m.Event)
	}
	return events, w.Code
}

// choices returns the body with each of its fields, wherever it stands, set to
// each of the values.
func choices(body string, values []string) []string {
	var whole any
	if err := json.Unmarshal([]byte(body), &whole); err != nil {
		panic(err)
	}
	var all []string
	var walk func(v any)
	walk = func(v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for name, old := range m {
			for _, chosen := range values {
				m[name] = chosen
				text, err := json.Marshal(whole)
				if err != nil {
					panic(err)
				}
				all = append(all, string(text))
			}
			m[name] = old
			walk(old)
		}
	}
	walk(whole)
	return all
}

// Whoever holds the secret or token of one source chooses every field of a body
// and every header. Whatever that is, what becomes of it is an event of that
// source, and every event of every other source is put as if nothing had been
// sent.
func TestNothingBecomesOfAnotherSourcesEvents(t *testing.T) {
	b := newBench(t)
	victims, attackers := callers(t, b)
	events, keys, values := map[string]relay.Event{}, map[string]bool{}, []string{"*", "webhook.test", "endpoint.disabled", "generation.succeeded", "complete", ""}
	for p, v := range victims {
		got, status := b.calls(v)
		if len(got) != 1 {
			t.Fatalf("%s's own call: %d", p, status)
		}
		ev := got[0]
		events[p], keys[ev.Ref().ID] = ev, true
		values = append(values, ev.ID, ev.Ref().ID, ev.SourceID, "@"+ev.SourceID, ev.Subject, ev.Account, "whend_00000000000000000000")
	}
	headers := []string{
		"Rivya-Webhook-Id", "Rivya-Webhook-Source-Id", "Rivya-Webhook-Endpoint-Id", "webhook-id", "X-Id", "X-Request-Id", "Host",
		"X-Forwarded-Host", "Hookferry-Passes", "traceparent", "Idempotency-Key", "Authorization",
	}
	tried, taken := 0, 0
	for p, a := range attackers {
		var tries []caller
		for _, body := range choices(a.body, values) {
			c := a
			c.body = body
			tries = append(tries, c)
		}
		for _, name := range headers {
			for _, v := range values {
				c := a
				c.header = map[string]string{name: v}
				for other, own := range a.header {
					if !strings.EqualFold(other, name) {
						c.header[other] = own
					}
				}
				if name == "webhook-id" && p == "standard" {
					c.header = map[string]string{"webhook-id": v}
				}
				tries = append(tries, c)
			}
		}
		for _, v := range victims { // and somebody's call as it is, under the attacker's proof
			c := a
			c.body = v.body
			tries = append(tries, c)
		}
		for _, c := range tries {
			tried++
			got, status := b.calls(c)
			if status >= 500 {
				t.Errorf("%s: %d for %s %v", p, status, c.body, c.header)
			}
			for _, ev := range got {
				taken++
				what := fmt.Sprintf("%s, %s %v: %+v", p, c.body, c.header, ev)
				switch {
				case ev.Account != "acct_1" || ev.SourceID != a.source || ev.Only != "":
					t.Errorf("an event of another source or for one endpoint: %s", what)
				case keys[ev.Ref().ID] || !strings.HasSuffix(ev.Ref().ID, "@"+a.source) && p != "sivi":
					t.Errorf("known by a key that another source's event has: %s", what)
				case relay.ReservedType(ev.Type) && ev.Type != relay.TypeTest:
					t.Errorf("an event that only Hookferry makes: %s", what)
				}
				// The attacker comes first, and the other sources' events after.
				clock := relaytest.NewClock()
				clock.Set(b.now)
				store := relaytest.NewMemory(clock.Now, relaytest.Retention)
				if _, err := store.PutEvent(context.Background(), relay.EventRecord{Event: ev, MID: "attacker"}); err != nil {
					t.Fatal(err)
				}
				for q, victim := range events {
					existing, err := store.PutEvent(context.Background(), relay.EventRecord{Event: victim, MID: "victim"})
					if err != nil || existing != nil {
						t.Errorf("the event of %s is kept out by %s", q, what)
					}
				}
			}
		}
	}
	if tried < 500 || taken < 100 {
		t.Errorf("%d calls tried and %d taken: the test does not test", tried, taken)
	}
}

// A proof is good for its own source alone.
func TestAProofIsGoodForItsSourceAlone(t *testing.T) {
	b := newBench(t)
	victims, attackers := callers(t, b)
	for p, a := range attackers {
		for q, v := range victims {
			c := a
			c.source = v.source
			if got, status := b.calls(c); len(got) > 0 || status < 400 || status >= 500 {
				t.Errorf("%s's proof at the source of %s: %d, %d events", p, q, status, len(got))
			}
		}
	}
}
