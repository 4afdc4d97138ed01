package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

var update = flag.Bool("update", false, "write the frozen messages that are not there yet; none is ever changed")

var payload = []byte(`{"id":"evt_frozen","type":"generation.succeeded","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.000Z","data":{"text":"größe \uffff"}}`)

// frozen are the messages of version 1 of the wire form, by file: one of each
// kind, with every field that the kind has.
func frozen() map[string]relay.Message {
	ev := relay.Event{
		ID: "evt_frozen", Account: "acct_frozen", Type: "generation.succeeded", Format: relay.FormatRivya, SourceID: "src_frozen",
		VerifiedBy: relay.VerifiedBySignature, Test: true, CreatedAt: at, RequestID: "req_frozen", Only: "whend_frozen",
		Confirm: relay.ConfirmPrefer, Payload: relay.NewPayload(payload),
	}
	att := relay.Attempt{
		ID: "att_03hl2k7dbgdvul4h4m5sl9v8q6gqkd2u", Account: "acct_frozen", EventID: "evt_frozen",
		EventType: "generation.succeeded", EndpointID: "whend_frozen", Run: 2, Number: 3, Status: relay.AttemptFailed, Final: true,
		HTTPStatus: 503, RequestID: "req_frozen", Duration: 1234 * time.Millisecond, Snippet: "Bad größe\u2028", ErrorCode: relay.CodeHTTPError,
		ErrorMessage: "The endpoint answered 503.", DueAt: at, CreatedAt: at.Add(7 * time.Millisecond), NextAttemptAt: at.Add(time.Minute),
		MID: "MIDATTEMPT", EventCreatedAt: at.Add(-time.Hour),
	}
	keyed := ev
	keyed.Key, keyed.Subject, keyed.TraceParent, keyed.Passes = "evt_frozen@src_frozen", "gen_frozen", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 2
	sent := att
	sent.EventID, sent.URL, sent.Signatures = keyed.Key, "https://example.com/hook", "Rivya-Webhook-Signature: v1=00\n"
	ref := relay.EventRef{Account: "acct_frozen", ID: "evt_frozen", CreatedAt: at.Add(-time.Hour)}
	giveUp := at.Add(relay.GiveUpAfter)
	return map[string]relay.Message{
		"v1-event.json":       {Kind: relay.MessageEvent, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen", Event: &ev},
		"v1-event-keyed.json": {Kind: relay.MessageEvent, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen", Event: &keyed},
		"v1-event-proved.json": {
			Kind: relay.MessageEvent, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen", Event: &keyed,
			Proof: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		},
		"v1-attempt-held.json": {
			Kind: relay.MessageAttempt, MID: "MIDFROZEN", DueAt: at, NotBefore: at.Add(time.Minute), GiveUpAt: giveUp, Account: "acct_frozen",
			Ref: keyed.Ref(), EndpointID: "whend_frozen", Run: 2, Number: 3,
		},
		"v1-attempt-early.json": {
			Kind: relay.MessageAttempt, MID: "MIDFROZEN", DueAt: at.Add(time.Hour), NotBefore: at.Add(time.Second), Early: true, GiveUpAt: giveUp, Account: "acct_frozen",
			Ref: keyed.Ref(), EndpointID: "whend_frozen", Run: 2, Number: 3,
		},
		"v1-record-sent.json": {Kind: relay.MessageRecord, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen", Attempt: &sent},
		"v1-attempt.json": {
			Kind: relay.MessageAttempt, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen", Ref: ref,
			EndpointID: "whend_frozen", Run: 2, Number: 3,
		},
		"v1-record.json": {Kind: relay.MessageRecord, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen", Attempt: &att},
		"v1-confirm.json": {
			Kind: relay.MessageConfirm, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen", Ref: ref,
			SourceID: "src_frozen", SiviRequest: "sbhMkIZKCPp", Number: 4,
		},
		"v1-expect.json": {
			Kind: relay.MessageExpect, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen",
			SourceID: "src_frozen", SiviRequest: "sbhMkIZKCPp", Number: 5,
		},
		"v1-replay.json": {
			Kind: relay.MessageReplay, MID: "MIDFROZEN", DueAt: at, GiveUpAt: giveUp, Account: "acct_frozen",
			ReplayID: "rpl_frozen", Step: 6,
		},
	}
}

// samePayload compares what payloads hold: deflate may give other bytes in
// another release of Go.
var samePayload = cmp.Comparer(func(a, b relay.Payload) bool {
	x, errX := a.Bytes()
	y, errY := b.Bytes()
	return errX == nil && errY == nil && bytes.Equal(x, y)
})

// During a deployment, and for 14 days on the dead-letter queues, there are
// messages that other versions of the program wrote. Each must stay readable,
// as exactly what it was; and, the other way around, what is written now must
// stay readable for the version that froze them.
func TestFrozenMessagesAreReadAsWhatTheyWere(t *testing.T) {
	for name, want := range frozen() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("messages", name)
			raw, err := os.ReadFile(path)
			if os.IsNotExist(err) && *update {
				var pretty bytes.Buffer
				if err := json.Indent(&pretty, want.Encode(), "", "  "); err != nil {
					t.Fatal(err)
				}
				raw, err = append(pretty.Bytes(), '\n'), os.WriteFile(path, append(pretty.Bytes(), '\n'), 0o644)
			}
			if err != nil {
				t.Fatalf("%v (a new kind of message is frozen with -update)", err)
			}
			got, err := relay.DecodeMessage(raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, samePayload); diff != "" {
				t.Errorf("decoded (-want +got): %s", diff)
			}
			var then, now map[string]any
			if err := json.Unmarshal(raw, &then); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(got.Encode(), &now); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(then, now); diff != "" {
				t.Errorf("encoded again (-frozen +now): %s", diff)
			}
		})
	}
}

// The frozen ones cover every kind, every field and every file.
func TestEveryKindAndFieldIsFrozen(t *testing.T) {
	kinds := map[relay.MessageKind]bool{}
	fields := map[string]bool{}
	for _, m := range frozen() {
		kinds[m.Kind] = true
		for name := range nonZero(t, m) {
			fields[name] = true
		}
	}
	for _, k := range []relay.MessageKind{
		relay.MessageEvent, relay.MessageAttempt, relay.MessageRecord, relay.MessageConfirm,
		relay.MessageExpect, relay.MessageReplay,
	} {
		if !kinds[k] {
			t.Errorf("no frozen message of kind %q", k)
		}
	}
	for name := range allFields() {
		if !fields[name] {
			t.Errorf("no frozen message has the field %s", name)
		}
	}
	files, err := filepath.Glob("messages/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if _, ok := frozen()[filepath.Base(path)]; !ok {
			t.Errorf("%s is not replayed", path)
		}
	}
	if len(files) != len(frozen()) {
		t.Errorf("%d files, want %d", len(files), len(frozen()))
	}
}

func TestMessagesOfTomorrowAreRefusedByName(t *testing.T) {
	for _, raw := range []string{`{"v":2,"k":"event","mid":"m"}`, `{"v":0,"k":"event","mid":"m"}`, `{"k":"event"}`, `{"v":1,"k":"new","mid":"m","acc":"a"}`} {
		if _, err := relay.DecodeMessage([]byte(raw)); err == nil || !strings.Contains(err.Error(), "is not known") && !errors.Is(err, relay.ErrNewerMessage) {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}
