package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MessageKind says what a message asks the dispatcher to do.
type MessageKind string

// The kinds of message. Any kind may be on either lane.
const (
	// MessageEvent: record the event and make its first attempts.
	MessageEvent MessageKind = "event"
	// MessageAttempt: make an attempt of an event that is on the store.
	MessageAttempt MessageKind = "attempt"
	// MessageRecord: an attempt was made but could not be recorded; record it.
	MessageRecord MessageKind = "record"
	// MessageConfirm: ask Sivi whether an event that is on the store is true.
	MessageConfirm MessageKind = "confirm"
	// MessageExpect: ask Sivi for the terminal event of a request, if none came.
	MessageExpect MessageKind = "expect"
	// MessageReplay: start the next runs of a replay.
	MessageReplay MessageKind = "replay"
)

// A Message is one entry of a queue. Which fields count depends on Kind.
type Message struct {
	Kind MessageKind
	// MID names the message through hops and redrives. See EventRecord.MID and
	// Attempt.MID.
	MID string
	// DueAt is when to act on it. One that comes early is put back.
	DueAt time.Time
	// NotBefore is until when an attempt that is due is held back; zero when it
	// is not. The message comes no earlier than the later of DueAt and NotBefore.
	NotBefore time.Time
	// Early asks for an attempt before it is due, because a replay sends what is
	// open now. DueAt still names the attempt.
	Early bool
	// GiveUpAt is when to stop acting on it and account for it instead.
	GiveUpAt time.Time

	// Event is the event of a MessageEvent, with its payload.
	Event *Event
	// Proof is set when the provider did not sign the event's ID: a SHA-256 in
	// hex over the event's type and the signed bytes. Of a source's events with
	// one proof only the first is an event, whatever the ID.
	Proof string
	// Attempt is the outcome of a MessageRecord.
	Attempt *Attempt

	// Account is set in all kinds but event and record, the rest as named.
	Account string
	// Ref is the event of an attempt or confirm.
	Ref EventRef
	// EndpointID and Run are an attempt's.
	EndpointID string
	Run        int
	// Number is the attempt to make (attempt), or the question to ask (confirm,
	// expect): 1, 2, …
	Number int
	// SourceID and SiviRequest are an expect's.
	SourceID    string
	SiviRequest string
	// ReplayID and Step are a replay's; Step counts its messages.
	ReplayID string
	Step     int
}

// AttemptID returns the identifier of the attempt that a MessageAttempt asks for.
func (m Message) AttemptID() string {
	return AttemptID(m.Account, m.Ref.ID, m.EndpointID, m.Run, m.Number, m.DueAt)
}

// NewEventMessage returns the message that accepts an event, with a fresh MID.
func NewEventMessage(ev Event) Message {
	return Message{
		Kind: MessageEvent, MID: NewMID(), Event: &ev, Account: ev.Account,
		DueAt: ev.CreatedAt, GiveUpAt: ev.CreatedAt.Add(GiveUpAfter),
	}
}

// NewAttemptMessage returns the message for an attempt of a delivery, with a
// fresh MID: of two messages for one attempt, the one that did not make it is
// told by its MID, and ends.
func NewAttemptMessage(ref EventRef, endpoint string, run, number int, due, giveUp time.Time) Message {
	return Message{
		Kind: MessageAttempt, MID: NewMID(), Account: ref.Account, Ref: ref,
		EndpointID: endpoint, Run: run, Number: number, DueAt: due, GiveUpAt: giveUp,
	}
}

// NewExpectMessage returns the message that asks Sivi for the number-th time, at
// x.NextAt, about the request of an expectation.
func NewExpectMessage(x Expectation, number int) Message {
	return Message{
		Kind: MessageExpect, MID: NewMID(), Account: x.Account, SourceID: x.SourceID,
		SiviRequest: x.RequestID, Number: number, DueAt: x.NextAt, GiveUpAt: x.CreatedAt.Add(GiveUpAfter),
	}
}

// NewReplayMessage returns the message for a step of a replay, 1 for the first.
func NewReplayMessage(r Replay, step int, due, giveUp time.Time) Message {
	return Message{
		Kind: MessageReplay, MID: NewMID(), Account: r.Account, ReplayID: r.ID,
		EndpointID: r.EndpointID, Step: step, DueAt: due, GiveUpAt: giveUp,
	}
}

// Outgoing encodes the message for a queue, with the delay that its DueAt asks
// for from now, at most MaxDelay. Messages of an event are grouped by account,
// attempts by endpoint.
func (m Message) Outgoing(now time.Time) Outgoing {
	group := m.Account
	if m.EndpointID != "" {
		group = m.EndpointID
	}
	return Outgoing{Body: m.Encode(), Delay: Hop(m.ActAt(), now), Account: m.Account, Group: group}
}

// ActAt returns when to act on the message: at DueAt, or when it is held back
// beyond that, or asked for early, at NotBefore.
func (m Message) ActAt() time.Time {
	if m.Early || m.NotBefore.After(m.DueAt) {
		return m.NotBefore
	}
	return m.DueAt
}

// Hop returns how long a message that is due can be delayed at now: the rest of
// its wait in whole seconds, rounded up, and at most MaxDelay. The last hop of a
// long wait is never cut short by an early arrival.
func Hop(due, now time.Time) time.Duration {
	wait := due.Sub(now)
	if wait <= 0 {
		return 0
	}
	return min((wait + time.Second - 1).Truncate(time.Second), MaxDelay)
}

// The wire form. Names are short because every byte is sent and billed; times
// are Unix milliseconds. Fields are only ever added: messages of older versions
// are on the queues while a deployment goes on (events/messages holds some).
type (
	wireMessage struct {
		V        int          `json:"v"`
		Kind     MessageKind  `json:"k"`
		MID      string       `json:"mid"`
		Due      int64        `json:"due,omitempty"`
		GiveUp   int64        `json:"giv,omitempty"`
		Not      int64        `json:"nbf,omitempty"`
		Early    bool         `json:"ear,omitempty"`
		Event    *wireEvent   `json:"ev,omitempty"`
		Proof    string       `json:"prf,omitempty"`
		Attempt  *wireAttempt `json:"att,omitempty"`
		Account  string       `json:"acc,omitempty"`
		EventID  string       `json:"eid,omitempty"`
		Created  int64        `json:"ecr,omitempty"`
		Endpoint string       `json:"ep,omitempty"`
		Run      int          `json:"run,omitempty"`
		Number   int          `json:"n,omitempty"`
		Source   string       `json:"src,omitempty"`
		Request  string       `json:"srq,omitempty"`
		Replay   string       `json:"rpl,omitempty"`
		Step     int          `json:"stp,omitempty"`
	}
	wireEvent struct {
		ID       string       `json:"id"`
		Account  string       `json:"acc"`
		Type     string       `json:"typ"`
		Format   Format       `json:"fmt"`
		Source   string       `json:"src,omitempty"`
		Verified Verification `json:"ver"`
		Test     bool         `json:"tst,omitempty"`
		Created  int64        `json:"cre"`
		Request  string       `json:"req,omitempty"`
		Only     string       `json:"onl,omitempty"`
		Confirm  Confirm      `json:"con,omitempty"`
		Key      string       `json:"key,omitempty"`
		Subject  string       `json:"sub,omitempty"`
		Trace    string       `json:"tra,omitempty"`
		Passes   int          `json:"pas,omitempty"`
		Payload  []byte       `json:"pay"` // deflated, in base64
	}
	wireAttempt struct {
		ID       string        `json:"id"`
		Account  string        `json:"acc"`
		Event    string        `json:"eid"`
		Type     string        `json:"typ"`
		Endpoint string        `json:"ep"`
		Run      int           `json:"run,omitempty"`
		Number   int           `json:"n"`
		Status   AttemptStatus `json:"sta"`
		Final    bool          `json:"fin,omitempty"`
		HTTP     int           `json:"htt,omitempty"`
		Request  string        `json:"req"`
		Duration int64         `json:"dur"` // ms
		Snippet  []byte        `json:"sni,omitempty"`
		Code     ErrorCode     `json:"cod,omitempty"`
		Message  string        `json:"msg,omitempty"`
		Due      int64         `json:"due"`
		Created  int64         `json:"cre"`
		Next     int64         `json:"nxt,omitempty"`
		MID      string        `json:"mid"`
		EventAt  int64         `json:"ecr"`
		URL      string        `json:"url,omitempty"`
		Signed   string        `json:"sig,omitempty"`
	}
)

const messageVersion = 1

// Encode returns the message's wire form.
func (m Message) Encode() []byte {
	w := wireMessage{
		V: messageVersion, Kind: m.Kind, MID: m.MID, Due: millis(m.DueAt), GiveUp: millis(m.GiveUpAt), Not: millis(m.NotBefore), Early: m.Early,
		EventID: m.Ref.ID, Created: millis(m.Ref.CreatedAt), Endpoint: m.EndpointID,
		Run: m.Run, Number: m.Number, Source: m.SourceID, Request: m.SiviRequest, Replay: m.ReplayID, Step: m.Step, Proof: m.Proof,
	}
	if ev := m.Event; ev != nil {
		w.Event = &wireEvent{
			ID: ev.ID, Account: ev.Account, Type: ev.Type, Format: ev.Format, Source: ev.SourceID,
			Verified: ev.VerifiedBy, Test: ev.Test, Created: millis(ev.CreatedAt), Request: ev.RequestID,
			Only: ev.Only, Confirm: ev.Confirm, Payload: ev.Payload.Deflated(),
			Key: ev.Key, Subject: ev.Subject, Trace: ev.TraceParent, Passes: ev.Passes,
		}
	} else if a := m.Attempt; a != nil {
		w.Attempt = &wireAttempt{
			ID: a.ID, Account: a.Account, Event: a.EventID, Type: a.EventType, Endpoint: a.EndpointID,
			Run: a.Run, Number: a.Number, Status: a.Status, Final: a.Final, HTTP: a.HTTPStatus, Request: a.RequestID,
			Duration: a.Duration.Milliseconds(), Snippet: []byte(a.Snippet), Code: a.ErrorCode, Message: a.ErrorMessage,
			Due: millis(a.DueAt), Created: millis(a.CreatedAt), Next: millis(a.NextAttemptAt), MID: a.MID,
			EventAt: millis(a.EventCreatedAt), URL: a.URL, Signed: a.Signatures,
		}
	} else {
		w.Account = m.Account
	}
	body, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings, integers and bytes always marshal
	}
	return body
}

// ErrNewerMessage means that a message is of a version or kind that this program
// does not know. A newer one does, and while a deployment is under way both
// receive from one queue: so the message comes again and is never buried by the
// program that cannot read it.
var ErrNewerMessage = errors.New("a message of a newer program")

// DecodeMessage reads what Encode wrote, of this and every earlier version. An
// error other than ErrNewerMessage means that the message can never be acted on.
func DecodeMessage(body []byte) (Message, error) {
	var w wireMessage
	if err := json.Unmarshal(body, &w); err != nil {
		// A newer version may have given a field another form.
		var head struct {
			V int `json:"v"`
		}
		if json.Unmarshal(body, &head) == nil && head.V > messageVersion {
			err = fmt.Errorf("version %d: %w", head.V, ErrNewerMessage)
		}
		return Message{}, fmt.Errorf("decode message: %w", err)
	}
	if w.V > messageVersion {
		return Message{}, fmt.Errorf("decode message: version %d: %w", w.V, ErrNewerMessage)
	}
	if w.V < 1 {
		return Message{}, fmt.Errorf("decode message: version %d is not known", w.V)
	}
	m := Message{
		Kind: w.Kind, MID: w.MID, DueAt: fromMillis(w.Due), GiveUpAt: fromMillis(w.GiveUp),
		NotBefore: fromMillis(w.Not), Early: w.Early, Account: w.Account,
		EndpointID: w.Endpoint, Run: w.Run, Number: w.Number, SourceID: w.Source, SiviRequest: w.Request,
		ReplayID: w.Replay, Step: w.Step, Proof: w.Proof,
	}
	if w.EventID != "" {
		m.Ref = EventRef{w.Account, w.EventID, fromMillis(w.Created)}
	}
	if e := w.Event; e != nil {
		m.Account = e.Account
		m.Event = &Event{
			ID: e.ID, Account: e.Account, Type: e.Type, Format: e.Format, SourceID: e.Source,
			VerifiedBy: e.Verified, Test: e.Test, CreatedAt: fromMillis(e.Created), RequestID: e.Request,
			Only: e.Only, Confirm: e.Confirm, Payload: PayloadFromDeflated(e.Payload),
			Key: e.Key, Subject: e.Subject, TraceParent: e.Trace, Passes: e.Passes,
		}
	}
	if a := w.Attempt; a != nil {
		m.Account = a.Account
		m.Attempt = &Attempt{
			ID: a.ID, Account: a.Account, EventID: a.Event, EventType: a.Type, EndpointID: a.Endpoint,
			Run: a.Run, Number: a.Number, Status: a.Status, Final: a.Final, HTTPStatus: a.HTTP, RequestID: a.Request,
			Duration: time.Duration(a.Duration) * time.Millisecond, Snippet: string(a.Snippet), ErrorCode: a.Code,
			ErrorMessage: a.Message, DueAt: fromMillis(a.Due), CreatedAt: fromMillis(a.Created),
			NextAttemptAt: fromMillis(a.Next), MID: a.MID, EventCreatedAt: fromMillis(a.EventAt),
			URL: a.URL, Signatures: a.Signed,
		}
	}
	return m, m.check()
}

func (m Message) check() error {
	missing := func(what string) error {
		return fmt.Errorf("decode message: a message of kind %q has no %s", m.Kind, what)
	}
	if m.MID == "" {
		return missing("mid")
	}
	if m.Account == "" {
		return missing("account")
	}
	switch m.Kind {
	case MessageEvent:
		if m.Event == nil || !storedEventID(m.Event.ID) || m.Event.CreatedAt.IsZero() {
			return missing("event")
		}
	case MessageAttempt:
		if m.Ref.ID == "" || m.EndpointID == "" || m.Number < 1 || m.DueAt.IsZero() {
			return missing("event, endpoint, number or time")
		}
	case MessageRecord:
		if m.Attempt == nil || !ValidAttemptID(m.Attempt.ID) {
			return missing("attempt")
		}
	case MessageConfirm:
		if m.Ref.ID == "" || m.Number < 1 {
			return missing("event or number")
		}
	case MessageExpect:
		if m.SourceID == "" || m.SiviRequest == "" {
			return missing("source or request")
		}
	case MessageReplay:
		if m.ReplayID == "" {
			return missing("replay")
		}
	default:
		if m.Kind == "" {
			return missing("kind")
		}
		return fmt.Errorf("decode message: kind %q: %w", m.Kind, ErrNewerMessage)
	}
	return nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
