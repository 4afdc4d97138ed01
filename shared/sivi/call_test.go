package sivi

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

func TestStatusWordsAndWhatTheyStandFor(t *testing.T) {
	for status, want := range map[string]Call{
		`"complete"`:   {Status: "complete", Type: TypeSucceeded, Terminal: true},
		`"completed"`:  {Status: "completed", Type: TypeSucceeded, Terminal: true},
		`"failed"`:     {Status: "failed", Type: TypeFailed, Terminal: true},
		`"suspended"`:  {Status: "suspended", Type: TypeFailed, Terminal: true},
		`"pending"`:    {Status: "pending", Type: TypeUpdated, Progress: true},
		`"processing"`: {Status: "processing", Type: TypeUpdated, Progress: true},
		`"Complete"`:   {Status: "Complete", Type: TypeUpdated},
		`"überprüft"`:  {Status: "überprüft", Type: TypeUpdated},
		`200`:          {Status: "200", Type: TypeUpdated},
	} {
		want.RequestID = "sb1"
		got, err := Parse([]byte(`{"status":200,"body":{"requestId":"sb1","status":` + status + `}}`))
		if err != nil {
			t.Errorf("%s: %v", status, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", status, diff)
		}
	}
}

// refused are bodies that are no calls.
var refused = map[string]string{
	"empty":                     ``,
	"cut off":                   `{"status":200,"body":{"status":"complete","requestId":"sb1"}`,
	"trailing":                  `{"status":200,"body":{"status":"complete","requestId":"sb1"}} x`,
	"array":                     `[{"status":"complete","requestId":"sb1"}]`,
	"string":                    `"complete"`,
	"null":                      `null`,
	"no body":                   `{"status":200}`,
	"null body":                 `{"status":200,"body":null}`,
	"body is a string":          `{"status":200,"body":"complete"}`,
	"body is an array":          `{"status":200,"body":[]}`,
	"empty body":                `{"status":200,"body":{}}`,
	"error answer":              `{"status":422,"body":{"message":"Invalid input"}}`,
	"no requestId":              `{"status":200,"body":{"status":"complete"}}`,
	"null requestId":            `{"status":200,"body":{"status":"complete","requestId":null}}`,
	"empty requestId":           `{"status":200,"body":{"status":"complete","requestId":""}}`,
	"requestId is an object":    `{"status":200,"body":{"status":"complete","requestId":{}}}`,
	"requestId is true":         `{"status":200,"body":{"status":"complete","requestId":true}}`,
	"requestId with a newline":  `{"status":200,"body":{"status":"complete","requestId":"a\nb"}}`,
	"requestId, lone surrogate": `{"status":200,"body":{"status":"complete","requestId":"\ud800"}}`,
	"requestId too long":        `{"status":200,"body":{"status":"complete","requestId":"` + strings.Repeat("x", 257) + `"}}`,
	"requestId in other case":   `{"status":200,"body":{"status":"complete","RequestId":"sb1"}}`,
	"no status":                 `{"status":200,"body":{"requestId":"sb1"}}`,
	"null status":               `{"status":200,"body":{"requestId":"sb1","status":null}}`,
	"status is an array":        `{"status":200,"body":{"requestId":"sb1","status":["complete"]}}`,
	"status too long":           `{"status":200,"body":{"requestId":"sb1","status":"` + strings.Repeat("x", 129) + `"}}`,
	"two requestIds":            `{"status":200,"body":{"requestId":"sb1","requestId":"sb2","status":"complete"}}`,
	"two statuses":              `{"status":200,"body":{"requestId":"sb1","status":"failed","\u0073tatus":"complete"}}`,
	"two bodies":                `{"body":{"requestId":"sb1","status":"failed"},"body":{"requestId":"sb1","status":"complete"}}`,
	"not UTF-8":                 "{\"status\":200,\"body\":{\"requestId\":\"sb1\",\"status\":\"complete\",\"x\":\"\xff\"}}",
}

func TestWhatIsNoCallIsRefusedWithTheReason(t *testing.T) {
	for name, body := range refused {
		c, err := Parse([]byte(body))
		if !errors.Is(err, ErrCall) || c != (Call{}) {
			t.Errorf("%s: got %+v, %v; want ErrCall", name, c, err)
			continue
		}
		if len(err.Error()) > 200 || len(err.Error()) == len(ErrCall.Error()) {
			t.Errorf("%s: the reason %q is too long or missing", name, err)
		}
		if _, err := Translate(relay.Event{}, []byte(body)); !errors.Is(err, ErrCall) {
			t.Errorf("%s: translate: got %v, want ErrCall", name, err)
		}
	}
}

func TestAnEventIDDependsOnSourceRequestStatusAndBody(t *testing.T) {
	c, body := Call{RequestID: "sb1", Status: "complete"}, []byte(`{"a":1}`)
	id := EventID("src_1", c, body)
	if again := EventID("src_1", c, []byte(`{"a":1}`)); again != id || !relay.ValidEventID(id) || !strings.HasPrefix(id, "evt_") {
		t.Errorf("got %q and %q", id, again)
	}
	for what, other := range map[string]string{
		"source":  EventID("src_2", c, body),
		"request": EventID("src_1", Call{RequestID: "sb2", Status: "complete"}, body),
		"status":  EventID("src_1", Call{RequestID: "sb1", Status: "failed"}, body),
		"body":    EventID("src_1", c, []byte(`{"a":2}`)),
		"border":  EventID("src_1", Call{RequestID: "sb1c", Status: "omplete"}, body),
	} {
		if other == id {
			t.Errorf("another %s gives the same ID", what)
		}
	}
}

func TestWhatContradictsACall(t *testing.T) {
	complete := Call{RequestID: "sb1", Status: "complete", Terminal: true, Type: TypeSucceeded}
	completed := Call{RequestID: "sb1", Status: "completed", Terminal: true, Type: TypeSucceeded}
	failed := Call{RequestID: "sb1", Status: "failed", Terminal: true, Type: TypeFailed}
	suspended := Call{RequestID: "sb1", Status: "suspended", Terminal: true, Type: TypeFailed}
	pending := Call{RequestID: "sb1", Status: "pending", Type: TypeUpdated}
	unknown := Call{RequestID: "sb1", Status: "odd", Type: TypeUpdated}
	other := Call{RequestID: "sb2", Status: "complete", Terminal: true, Type: TypeSucceeded}
	for _, c := range []struct {
		event, answer Call
		want          bool
	}{
		{complete, complete, false},
		{complete, completed, false},
		{failed, suspended, false},
		{complete, failed, true},
		{failed, complete, true},
		{complete, pending, true},
		{failed, unknown, true},
		{pending, complete, true},
		{pending, unknown, false},
		{complete, other, true},
		{pending, other, true},
	} {
		if got := Contradicts(c.event, c.answer); got != c.want {
			t.Errorf("Contradicts(%s %s, %s %s) = %v, want %v", c.event.RequestID, c.event.Status, c.answer.RequestID, c.answer.Status, got, c.want)
		}
	}
}
