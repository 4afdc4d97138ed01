package dynamo

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// eventPartition holds all events of one ID, each under its source.
func eventPartition(account, id string) string { return "E#" + account + "#" + id }

// eventKey is where an event is.
func eventKey(account, k string) key {
	id, source := relay.CutEventKey(k)
	if source == "" {
		return key{eventPartition(account, id), "E"}
	}
	return key{eventPartition(account, id), "E#" + source}
}

// Codes keep an event of 1 KB within one write unit; a value that has none is
// kept as it is.
var (
	verificationCodes = map[relay.Verification]string{
		relay.VerifiedBySignature: "s", relay.VerifiedByToken: "t",
		relay.VerifiedByTokenFetch: "u", relay.VerifiedByFetch: "f", relay.VerifiedByKey: "k",
	}
	formatCodes   = map[relay.Format]string{relay.FormatRivya: "r", relay.FormatSivi: "s", relay.FormatVerbatim: "v"}
	mismatchCodes = map[relay.Mismatch]string{
		relay.MismatchType: "t", relay.MismatchSource: "s",
		relay.MismatchFormat: "f", relay.MismatchFilter: "i", relay.MismatchDisabled: "d", relay.MismatchOnly: "o",
	}
)

func encode[T ~string](codes map[T]string, v T) string {
	if code, ok := codes[v]; ok {
		return code
	}
	return string(v)
}

func decode[T ~string](codes map[T]string, code string) T {
	for v, c := range codes {
		if c == code {
			return v
		}
	}
	return T(code)
}

// setSummary sets what both an event's item and its list rows hold.
func (it item) setSummary(ev relay.Event) {
	it.setString("t", ev.Type)
	it.setString("f", encode(formatCodes, ev.Format))
	it.setID("s", ev.SourceID)
	it.setString("v", encode(verificationCodes, ev.VerifiedBy))
	it.setBool("k", ev.Test)
	it.setID("r", ev.RequestID)
	it.setID("o", ev.Only)
	it.setString("q", string(ev.Confirm))
	it.setString("sj", ev.Subject)
}

func summaryOf(it item, ref relay.EventRef) relay.Event {
	ev := relay.Event{
		Account: ref.Account, CreatedAt: ref.CreatedAt,
		Type: it.string("t"), Format: decode(formatCodes, it.string("f")), SourceID: it.id("s"),
		VerifiedBy: decode(verificationCodes, it.string("v")), Test: it.bool("k"), RequestID: it.id("r"),
		Only: it.id("o"), Confirm: relay.Confirm(it.string("q")), Subject: it.string("sj"),
	}
	ev.SetKey(ref.ID)
	return ev
}

// runAttribute holds an endpoint's latest run on the event's item, and
// deliveryAttribute the state of its delivery on the open event's.
const endpointAttribute = "/"

func (s *Store) eventItem(r relay.EventRecord) item {
	it := newItem(eventKey(r.Account, r.Ref().ID))
	it.setSummary(r.Event)
	it.setTime("c", r.CreatedAt)
	it.setBytes("p", r.Payload.Deflated())
	it.setString("tp", r.TraceParent)
	it.setInt("ps", int64(r.Passes))
	it.setString("m", r.MID)
	it.setTime("l", r.ClaimedUntil)
	if !r.RecordedAt.IsZero() {
		it.setInt("d", unixMillis(r.RecordedAt)-unixMillis(r.CreatedAt)+1) // in few bytes
	}
	if r.Answer != (relay.Answer{}) {
		it.setString("an", answerText(r.Answer))
	}
	var matched, unmatched []byte
	for _, id := range r.Matched {
		matched = packID(matched, id)
	}
	for _, u := range r.Unmatched {
		code := encode(mismatchCodes, u.Reason)
		unmatched = packID(unmatched, u.EndpointID)
		unmatched = append(binary.AppendUvarint(unmatched, uint64(len(code))), code...)
	}
	it.setBytes("y", matched)
	it.setBytes("z", unmatched)
	for id, run := range r.Runs {
		it.setString(endpointAttribute+id, runText(run))
	}
	it.setExpiry(r.CreatedAt.Add(s.retention))
	return it
}

func runText(r relay.Run) string {
	return fmt.Sprintf("%d %d %s", r.Number, unixMillis(r.StartedAt), r.Token)
}

func parseRun(text string) (r relay.Run, ok bool) {
	var ms int64
	number, rest, _ := strings.Cut(text, " ")
	started, token, ok := strings.Cut(rest, " ")
	_, err1 := fmt.Sscan(number, &r.Number)
	_, err2 := fmt.Sscan(started, &ms)
	r.StartedAt, r.Token = timeOf(ms), token
	return r, ok && err1 == nil && err2 == nil
}

func eventOf(account, id string, it item) (relay.EventRecord, error) {
	k := eventKey(account, id)
	r := relay.EventRecord{MID: it.string("m"), ClaimedUntil: it.time("l")}
	r.Event = summaryOf(it, relay.EventRef{Account: account, ID: id, CreatedAt: it.time("c")})
	r.Payload = relay.PayloadFromDeflated(it.bytes("p"))
	if after := it.int("d"); after != 0 {
		r.RecordedAt = r.CreatedAt.Add(time.Duration(after-1) * time.Millisecond)
	}
	r.Answer = parseAnswer(it.string("an"))
	r.TraceParent, r.Passes = it.string("tp"), int(it.int("ps"))
	for rest := it.bytes("y"); len(rest) > 0; {
		endpoint, after, ok := unpackID(rest)
		if !ok {
			return r, damaged(k, "its matched endpoints")
		}
		r.Matched = append(r.Matched, endpoint)
		rest = after
	}
	for rest := it.bytes("z"); len(rest) > 0; {
		endpoint, after, ok := unpackID(rest)
		n, size := binary.Uvarint(after)
		if !ok || size <= 0 || n > uint64(len(after)-size) {
			return r, damaged(k, "its other endpoints")
		}
		after = after[size:]
		r.Unmatched = append(r.Unmatched, relay.Unmatched{EndpointID: endpoint, Reason: decode(mismatchCodes, string(after[:n]))})
		rest = after[n:]
	}
	for name := range it {
		endpoint, ok := strings.CutPrefix(name, endpointAttribute)
		if !ok {
			continue
		}
		run, ok := parseRun(it.string(name))
		if !ok {
			return r, damaged(k, "a run")
		}
		if r.Runs == nil {
			r.Runs = make(map[string]relay.Run)
		}
		r.Runs[endpoint] = run
	}
	return r, nil
}

// PutEvent implements relay.Store.
func (s *Store) PutEvent(ctx context.Context, r relay.EventRecord) (*relay.EventRecord, error) {
	it := s.eventItem(r)
	if it.size() > maxItem-64 {
		return nil, fmt.Errorf("put event %s: %w", r.ID, relay.ErrTooLarge)
	}
	there, ok, err := s.putMarked(ctx, it, s.absentOrExpired())
	if err != nil {
		return nil, fmt.Errorf("put event %s: %w", r.ID, err)
	}
	if ok {
		return nil, nil
	}
	existing, err := eventOf(r.Account, r.Ref().ID, there)
	if err != nil {
		return nil, fmt.Errorf("put event %s: read the one there: %w", r.ID, err)
	}
	return &existing, nil
}

// ClaimEvent implements relay.Store.
func (s *Store) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	mark := fresh()
	values := item{":until": numberValue(unixMillis(until)), ":cut": numberValue(s.cutoff())}
	values.setBytes(":w", mark)
	cond := condition{expr: "c > :cut AND attribute_not_exists(l)", values: values}
	if !from.IsZero() {
		cond.expr = "c > :cut AND l = :from"
		values.setTime(":from", from)
	}
	there, ok, err := s.update(ctx, eventKey(ref.Account, ref.ID), "SET l = :until, w = :w", cond, returnNothing)
	if err != nil {
		return fmt.Errorf("claim event %s: %w", ref.ID, err)
	}
	if !ok && !marked(there, mark) {
		return fmt.Errorf("claim event %s: %w", ref.ID, relay.ErrConflict)
	}
	return nil
}

// answerText is the form in which an answer is kept: its time, a letter for its
// outcome, and what was said.
func answerText(a relay.Answer) string {
	return fmt.Sprintf("%d%s%s", unixMillis(a.At), encode(statusCodes, a.Outcome)[:1], a.Said)
}

func parseAnswer(text string) (a relay.Answer) {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 1 {
		return a
	}
	ms, err := strconv.ParseInt(text[:end], 10, 64)
	if err != nil {
		return a
	}
	return relay.Answer{At: timeOf(ms), Outcome: decode[relay.DeliveryStatus](statusCodes, text[end:end+1]), Said: text[end+1:]}
}

// ConfirmEvent implements relay.Store.
func (s *Store) ConfirmEvent(ctx context.Context, ref relay.EventRef, claimed time.Time, a relay.Answer, body relay.Payload) error {
	values := item{":cut": numberValue(s.cutoff())}
	values.setTime(":l", claimed)
	values[":a"] = stringValue(answerText(a))
	set := "SET an = :a"
	if a.Outcome == relay.DeliverySucceeded {
		values.setString(":v", encode(verificationCodes, relay.VerifiedByTokenFetch))
		values.setBytes(":p", body.Deflated())
		set += ", p = :p, v = :v"
	}
	cond := condition{expr: "c > :cut AND l = :l", values: values}
	_, ok, err := s.update(ctx, eventKey(ref.Account, ref.ID), set, cond, returnNothing)
	if err != nil {
		return fmt.Errorf("confirm event %s: %w", ref.ID, err)
	}
	if !ok {
		return fmt.Errorf("confirm event %s: %w", ref.ID, relay.ErrConflict)
	}
	return nil
}

// Event implements relay.Store.
func (s *Store) Event(ctx context.Context, account, id string, consistent bool) (relay.EventRecord, error) {
	it, err := s.item(ctx, eventKey(account, id), consistent)
	if err != nil {
		return relay.EventRecord{}, fmt.Errorf("read event %s: %w", id, err)
	}
	if s.expired(it) {
		return relay.EventRecord{}, fmt.Errorf("event %s: %w", id, relay.ErrNotFound)
	}
	r, err := eventOf(account, id, it)
	if err != nil {
		return relay.EventRecord{}, fmt.Errorf("read event %s: %w", id, err)
	}
	return r, nil
}

// EventsByID implements relay.Store.
func (s *Store) EventsByID(ctx context.Context, account, id string) ([]relay.EventRecord, error) {
	rows := s.rows(keyRange{pk: eventPartition(account, id), consistent: true}, 0, false)
	var events []relay.EventRecord
	for {
		it, err := rows.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("read events with id %s: %w", id, err)
		}
		if it == nil {
			break
		}
		key := id
		if source, ok := strings.CutPrefix(it.string("sk"), "E#"); ok {
			key = relay.EventKey(source, id)
		}
		if s.expired(it) {
			continue
		}
		e, err := eventOf(account, key, it)
		if err != nil {
			return nil, fmt.Errorf("read events with id %s: %w", id, err)
		}
		if e.ID == id { // a text that is the key of another event is not its ID
			events = append(events, e)
		}
	}
	slices.SortStableFunc(events, func(a, b relay.EventRecord) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return events, nil
}
