package dynamo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// The list row of an event is put once. Its attribute p says that the event has
// an open-event item too, which then tells its status; without p everything
// succeeded at the first attempt. A row or item without a type is of an event
// that is not listed yet.
func listSort(ref relay.EventRef) string { return timeKey(ref.CreatedAt) + "#" + ref.ID }

func refOf(account, sk string) (relay.EventRef, bool) {
	created, id, ok := cutTimeKey(sk)
	return relay.EventRef{Account: account, ID: id, CreatedAt: created}, ok
}

func (s *Store) listKey(ref relay.EventRef) key {
	return key{sharded("L#", ref.Account, s.shardOf(ref.ID)), listSort(ref)}
}

func (s *Store) openKey(ref relay.EventRef) key {
	return key{sharded("P#", ref.Account, s.shardOf(ref.ID)), listSort(ref)}
}

// openFor returns the key of the open-event item that belongs to a list row.
func openFor(listed key) key { return key{"P" + strings.TrimPrefix(listed.pk, "L"), listed.sk} }

// everyKey returns where an event's list row or open-event item can be.
func (s *Store) everyKey(prefix string, ref relay.EventRef) []key {
	var keys []key
	for _, sh := range s.shardsOf(ref.ID) {
		keys = append(keys, key{sharded(prefix, ref.Account, sh), listSort(ref)})
	}
	return keys
}

// A delivery's state is kept as text: its progress in 12 hexadecimal digits,
// so that a string comparison tells which of two is further; a letter for its
// status; when the next attempt is due.
var statusCodes = map[relay.DeliveryStatus]string{relay.DeliveryPending: "p", relay.DeliveryRetrying: "r",
	relay.DeliverySucceeded: "s", relay.DeliveryFailed: "f", relay.DeliverySkipped: "k", relay.DeliveryRejected: "j"}

func deliveryText(d relay.Delivery) string {
	return fmt.Sprintf("%012x%s%d", d.Progress(), encode(statusCodes, d.Status)[:1], unixMillis(d.NextAttemptAt))
}

// beyond is the least text of a delivery that is further than d.
func beyond(d relay.Delivery) string { return fmt.Sprintf("%012x", d.Progress()+1) }

func parseDelivery(endpoint, text string) (d relay.Delivery, ok bool) {
	if len(text) < 14 {
		return d, false
	}
	progress, err1 := strconv.ParseInt(text[:12], 16, 64)
	next, err2 := strconv.ParseInt(text[13:], 10, 64)
	return relay.Delivery{EndpointID: endpoint, Run: int(progress >> 16), Attempts: int(progress & 0xffff),
		Status: decode(statusCodes, text[12:13]), NextAttemptAt: timeOf(next)}, err1 == nil && err2 == nil
}

// kept returns the deliveries that an open-event item holds, by endpoint.
func (it item) kept() (ds []relay.Delivery, err error) {
	for name := range it {
		endpoint, ok := strings.CutPrefix(name, endpointAttribute)
		if !ok {
			continue
		}
		d, ok := parseDelivery(endpoint, it.string(name))
		if !ok {
			return nil, damaged(it.key(), "the delivery to "+endpoint)
		}
		ds = append(ds, d)
	}
	slices.SortFunc(ds, func(a, b relay.Delivery) int { return cmp.Compare(a.EndpointID, b.EndpointID) })
	return ds, nil
}

// status returns what an open-event item makes of its event: it holds n
// deliveries, of which those that succeeded at the first attempt are left out.
func (it item) status() (relay.EventStatus, error) {
	ds, err := it.kept()
	if err != nil {
		return "", err
	}
	held := 0
	for _, d := range ds {
		if d.EndpointID != relay.Confirmation {
			held++
		}
	}
	if int(it.int("n")) > held {
		ds = append(ds, relay.Delivery{Status: relay.DeliverySucceeded})
	}
	return relay.StatusOf(ds), nil
}

// plain reports a delivery that need not be kept.
func plain(d relay.Delivery) bool {
	return d.Status == relay.DeliverySucceeded && d.Run == 0 && d.Attempts == 1 && d.EndpointID != relay.Confirmation
}

// listing is what a listed event's row and open-event item say of it.
func (s *Store) listing(k key, ev relay.Event, deliveries int) item {
	it := newItem(k)
	it.setSummary(ev)
	it.setInt("n", int64(deliveries))
	it.setExpiry(ev.CreatedAt.Add(s.retention))
	return it
}

// ListEvent implements relay.Store. The open-event item comes before the list
// row, so that a row never points to nothing; a crash between the two is healed
// when the message comes again.
func (s *Store) ListEvent(ctx context.Context, ev relay.Event, deliveries []relay.Delivery) error {
	count, open := 0, len(deliveries) == 0
	for _, d := range deliveries {
		if d.EndpointID != relay.Confirmation {
			count++
		}
		open = open || !plain(d)
	}
	ref := ev.Ref()
	if open {
		if err := s.openEvent(ctx, s.listing(s.openKey(ref), ev, count), ref, deliveries); err != nil {
			return fmt.Errorf("list event %s: keep its deliveries: %w", ev.ID, err)
		}
	}
	row := s.listing(s.listKey(ref), ev, count)
	row.setBool("p", open)
	there, ok, err := s.put(ctx, row, absent)
	if err != nil {
		return fmt.Errorf("list event %s: %w", ev.ID, err)
	}
	if ok || there.string("t") != "" && (there.bool("p") || !open) {
		return nil
	}
	// The row is there without a type: a delivery was saved or run again before
	// the event was listed. Or it lacks the mark of the deliveries kept above.
	if there.bool("p") {
		if err := s.merge(ctx, s.listing(s.openKey(ref), ev, count)); err != nil {
			return fmt.Errorf("list event %s: %w", ev.ID, err)
		}
	}
	if err := s.merge(ctx, row); err != nil {
		return fmt.Errorf("list event %s: %w", ev.ID, err)
	}
	return nil
}

// openEvent puts the open-event item, or brings the one that is there forward.
func (s *Store) openEvent(ctx context.Context, it item, ref relay.EventRef, deliveries []relay.Delivery) error {
	full := make(item, len(it)+len(deliveries))
	for name, v := range it {
		full[name] = v
	}
	for _, d := range deliveries {
		if !plain(d) {
			full.setString(endpointAttribute+d.EndpointID, deliveryText(d))
		}
	}
	_, ok, err := s.put(ctx, full, absent)
	if err != nil || ok {
		return err
	}
	if err := s.merge(ctx, it); err != nil {
		return err
	}
	for _, d := range deliveries {
		if plain(d) {
			continue
		}
		if _, err := s.advance(ctx, s.openKey(ref), ref, d, false); err != nil {
			return err
		}
	}
	return nil
}

// merge sets the attributes of an item on the one that is there, or makes it.
func (s *Store) merge(ctx context.Context, it item) error {
	cond := condition{values: item{}, names: map[string]string{}}
	var set []string
	for name, v := range it {
		if name == "pk" || name == "sk" {
			continue
		}
		cond.names["#"+name], cond.values[":"+name] = name, v
		set = append(set, "#"+name+" = :"+name)
	}
	slices.Sort(set)
	_, _, err := s.update(ctx, it.key(), "SET "+strings.Join(set, ", "), cond, returnNothing)
	return err
}

// advance sets a delivery's state on an open-event item unless that has come
// further. With must, it reports false if there is no item.
func (s *Store) advance(ctx context.Context, k key, ref relay.EventRef, d relay.Delivery, must bool) (found bool, err error) {
	expr, cond := s.advanceUpdate(ref, d)
	if must {
		cond.expr = "attribute_exists(pk) AND (" + cond.expr + ")"
	}
	there, ok, err := s.update(ctx, k, expr, cond, returnNothing)
	return ok || len(there) > 0, err
}

func (s *Store) advanceUpdate(ref relay.EventRef, d relay.Delivery) (expr string, cond condition) {
	values := item{":d": stringValue(deliveryText(d)), ":beyond": stringValue(beyond(d))}
	values.setExpiry(ref.CreatedAt.Add(s.retention))
	values[":x"] = values[ttlAttribute]
	delete(values, ttlAttribute)
	return "SET #d = :d, " + ttlAttribute + " = :x", condition{expr: "attribute_not_exists(#d) OR #d < :beyond",
		values: values, names: map[string]string{"#d": endpointAttribute + d.EndpointID}}
}

// SaveDelivery implements relay.Store.
func (s *Store) SaveDelivery(ctx context.Context, ref relay.EventRef, d relay.Delivery) error {
	found := false
	for _, k := range s.everyKey("P#", ref) {
		there, err := s.advance(ctx, k, ref, d, true)
		if err != nil {
			return fmt.Errorf("save delivery of %s to %s: %w", ref.ID, d.EndpointID, err)
		}
		found = found || there
	}
	if found {
		return nil
	}
	// The first delivery of the event that is worth keeping. The list row gets
	// its mark first, so that whoever lists the event at the same time sees it;
	// and if the event is listed already, the new item says so too.
	row, err := s.markOpen(ctx, ref)
	if err == nil && row.string("t") != "" {
		copied := item{}
		for name, v := range row {
			if name != "p" {
				copied[name] = v
			}
		}
		k := s.openKey(ref)
		copied["pk"], copied["sk"] = stringValue(k.pk), stringValue(k.sk)
		err = s.merge(ctx, copied)
	}
	if err == nil {
		_, err = s.advance(ctx, s.openKey(ref), ref, d, false)
	}
	if err != nil {
		return fmt.Errorf("save delivery of %s to %s: %w", ref.ID, d.EndpointID, err)
	}
	return nil
}

// markOpen marks the event's list row as one that has an open-event item, and
// returns it. Where there is none yet, it makes one without a type.
func (s *Store) markOpen(ctx context.Context, ref relay.EventRef) (item, error) {
	keys := s.everyKey("L#", ref)
	values := item{":p": numberValue(1)}
	for _, k := range keys[1:] {
		row, ok, err := s.update(ctx, k, "SET p = :p", condition{expr: "attribute_exists(pk)", values: values}, returnNew)
		if err != nil || ok {
			return row, err
		}
	}
	values = item{":p": values[":p"]}
	values.setExpiry(ref.CreatedAt.Add(s.retention))
	values[":x"] = values[ttlAttribute]
	delete(values, ttlAttribute)
	row, _, err := s.update(ctx, keys[0], "SET p = :p, "+ttlAttribute+" = :x", condition{values: values}, returnNew)
	return row, err
}

// state is what is kept of an event's deliveries.
type state struct {
	row           item // the list row; nil if there is none
	open          item // all of the open-event item
	rowAt, openAt key
}

func (st state) listed() bool { return st.row.string("t") != "" }

// stateOf reads an event's list row and open-event item, consistently.
func (s *Store) stateOf(ctx context.Context, ref relay.EventRef) (state, error) {
	st := state{rowAt: s.listKey(ref), openAt: s.openKey(ref)}
	rows, opens := s.everyKey("L#", ref), s.everyKey("P#", ref)
	// Twice at most: the row may have been read after its mark was set, and
	// the item before it was there.
	for range 2 {
		found, err := s.items(ctx, append(slices.Clone(rows), opens...), true)
		if err != nil {
			return st, err
		}
		for _, k := range slices.Backward(rows) {
			if it, ok := found[k]; ok {
				st.row, st.rowAt = it, k
			}
		}
		st.open = nil
		for _, k := range slices.Backward(opens) {
			it, ok := found[k]
			if !ok {
				continue
			}
			st.openAt = k
			if st.open == nil {
				st.open = it
				continue
			}
			for name, v := range it {
				if !strings.HasPrefix(name, endpointAttribute) || it.string(name) > st.open.string(name) {
					st.open[name] = v
				}
			}
		}
		if st.open != nil || !st.row.bool("p") {
			break
		}
	}
	return st, nil
}

// Deliveries implements relay.Store.
func (s *Store) Deliveries(ctx context.Context, r relay.EventRecord) ([]relay.Delivery, bool, error) {
	st, err := s.stateOf(ctx, r.Ref())
	if err != nil {
		return nil, false, fmt.Errorf("read deliveries of %s: %w", r.ID, err)
	}
	ds, err := st.open.kept()
	if err != nil {
		return nil, false, fmt.Errorf("read deliveries of %s: %w", r.ID, err)
	}
	if !st.listed() {
		return ds, false, nil
	}
	for _, endpoint := range r.Matched {
		if !slices.ContainsFunc(ds, func(d relay.Delivery) bool { return d.EndpointID == endpoint }) {
			ds = append(ds, relay.Delivery{EndpointID: endpoint, Attempts: 1, Status: relay.DeliverySucceeded})
		}
	}
	place := func(d relay.Delivery) int { return slices.Index(r.Matched, d.EndpointID) }
	slices.SortStableFunc(ds, func(a, b relay.Delivery) int { return cmp.Compare(place(a), place(b)) })
	return ds, true, nil
}

// StartRun implements relay.Store.
func (s *Store) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (relay.Run, error) {
	at = relay.Millis(at)
	for round := range maxRounds {
		if err := pause(ctx, round); err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		r, err := s.Event(ctx, account, event, true)
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run: %w", err)
		}
		was, again := r.Runs[endpoint]
		if again && was.Token == token {
			return was, nil
		}
		run := relay.Run{Number: was.Number + 1, Token: token, StartedAt: at}
		st, err := s.stateOf(ctx, r.Ref())
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		done, err := s.startRun(ctx, r, endpoint, run, st)
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		if done {
			return run, nil
		}
	}
	return relay.Run{}, fmt.Errorf("start run of %s: the event kept changing", event)
}

// startRun writes a run as it was decided on r and st, and reports false if one
// of them has changed.
func (s *Store) startRun(ctx context.Context, r relay.EventRecord, endpoint string, run relay.Run, st state) (bool, error) {
	name := map[string]string{"#r": endpointAttribute + endpoint}
	event := condition{expr: "attribute_exists(pk) AND attribute_not_exists(#r)", names: name,
		values: item{":r": stringValue(runText(run))}}
	if was, ok := r.Runs[endpoint]; ok {
		event.expr = "#r = :was"
		event.values[":was"] = stringValue(runText(was))
	}

	row := condition{expr: "attribute_not_exists(t)", values: item{":p": numberValue(1)}}
	row.values.setExpiry(r.CreatedAt.Add(s.retention))
	row.values[":x"] = row.values[ttlAttribute]
	delete(row.values, ttlAttribute)
	if st.listed() {
		row.expr = "attribute_exists(t)"
	}

	d := relay.Delivery{EndpointID: endpoint, Run: run.Number, Status: relay.DeliveryPending, NextAttemptAt: run.StartedAt}
	expr, open := s.advanceUpdate(r.Ref(), d)
	if st.listed() {
		// The same that the list row says, for lists by status.
		for name, v := range s.listing(st.openAt, r.Event, deliveryCount(r, endpoint)) {
			if name == "pk" || name == "sk" || name == ttlAttribute {
				continue
			}
			open.names["#"+name+"_"], open.values[":"+name+"_"] = name, v
			expr += ", #" + name + "_ = :" + name + "_"
		}
	}
	failed, err := s.transact(ctx,
		s.transactUpdate(eventKey(r.Account, r.ID), "SET #r = :r", event),
		s.transactUpdate(st.openAt, expr, open),
		s.transactUpdate(st.rowAt, "SET p = :p, "+ttlAttribute+" = :x", row))
	return failed < 0, err
}

// deliveryCount is how many deliveries an event has that is run again.
func deliveryCount(r relay.EventRecord, endpoint string) int {
	if slices.Contains(r.Matched, endpoint) {
		return len(r.Matched)
	}
	return len(r.Matched) + 1
}
