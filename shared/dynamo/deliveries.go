package dynamo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
// status; when the next attempt is due; and, after a blank, until when it is held
// back, if it is.
var statusCodes = map[relay.DeliveryStatus]string{
	relay.DeliveryPending: "p", relay.DeliveryRetrying: "r",
	relay.DeliverySucceeded: "s", relay.DeliveryFailed: "f", relay.DeliverySkipped: "k", relay.DeliveryRejected: "j",
}

func deliveryText(d relay.Delivery) string {
	text := fmt.Sprintf("%012x%s%d", d.Progress(), encode(statusCodes, d.Status)[:1], unixMillis(d.NextAttemptAt))
	if !d.NotBefore.IsZero() {
		text += fmt.Sprintf(" %d", unixMillis(d.NotBefore))
	}
	return text
}

// beyond is the least text of a delivery that is further than d.
func beyond(d relay.Delivery) string { return fmt.Sprintf("%012x", d.Progress()+1) }

func parseDelivery(endpoint, text string) (d relay.Delivery, ok bool) {
	if len(text) < 14 {
		return d, false
	}
	progress, err1 := strconv.ParseInt(text[:12], 16, 64)
	due, held, _ := strings.Cut(text[13:], " ")
	next, err2 := strconv.ParseInt(due, 10, 64)
	var notBefore int64
	if held != "" {
		notBefore, _ = strconv.ParseInt(held, 10, 64)
	}
	return relay.Delivery{
		EndpointID: endpoint, Run: int(progress >> 16), Attempts: int(progress & 0xffff),
		Status: decode(statusCodes, text[12:13]), NextAttemptAt: timeOf(next),
		NotBefore: timeOf(notBefore),
	}, err1 == nil && err2 == nil
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
	cond = condition{values: values, names: map[string]string{"#d": endpointAttribute + d.EndpointID}}
	cond.expr = "attribute_not_exists(#d) OR #d < :beyond"
	if d.Progress() < 1 && d.EndpointID != relay.Confirmation {
		// A listed item that does not name the delivery says that it has
		// succeeded, which is further.
		cond.expr = "attribute_not_exists(#d) AND attribute_not_exists(t) OR #d < :beyond"
	}
	return "SET #d = :d, " + ttlAttribute + " = :x", cond
}

// SaveDelivery implements relay.Store.
func (s *Store) SaveDelivery(ctx context.Context, ref relay.EventRef, d relay.Delivery) error {
	for round := range maxRounds {
		err := pause(ctx, round)
		found := false
		if err == nil {
			found, err = s.advanceAll(ctx, ref, d)
		}
		if err == nil && !found {
			found, err = s.keepFirst(ctx, ref, d)
		}
		if err != nil {
			return fmt.Errorf("save delivery of %s to %s: %w", ref.ID, d.EndpointID, err)
		}
		if found {
			return nil
		}
	}
	return fmt.Errorf("save delivery of %s to %s: the event kept changing", ref.ID, d.EndpointID)
}

// advanceAll sets a delivery's state wherever there is an open-event item, and
// reports whether there is one.
func (s *Store) advanceAll(ctx context.Context, ref relay.EventRef, d relay.Delivery) (found bool, err error) {
	for _, k := range s.everyKey("P#", ref) {
		there, err := s.advance(ctx, k, ref, d, true)
		if err != nil {
			return false, err
		}
		found = found || there
	}
	return found, nil
}

// keepFirst keeps a delivery of an event that has no open-event item. It reports
// false if there is one by now.
func (s *Store) keepFirst(ctx context.Context, ref relay.EventRef, d relay.Delivery) (bool, error) {
	st, err := s.stateOf(ctx, ref)
	if err != nil || st.open != nil {
		return false, err
	}
	if st.listed() && (plain(d) || d.Progress() < 1) {
		return true, nil
	}
	if err := s.register(ctx, ref.Account); err != nil {
		return false, err
	}
	writes := s.openWrites(ref, d, st, int(st.row.int("n")))
	failed, err := s.transact(ctx, writes...)
	return failed < 0, err
}

// openWrites are the writes of a transaction that set a delivery's state as it
// was decided on st, on the open-event item and, where that is new to it, on the
// list row. deliveries is how many the event has.
func (s *Store) openWrites(ref relay.EventRef, d relay.Delivery, st state, deliveries int) []types.TransactWriteItem {
	expr, open := s.advanceUpdate(ref, d)
	row := condition{values: item{":p": numberValue(1), ":x": open.values[":x"]}}
	switch {
	case st.listed():
		// The item says the same as the row, for lists by status.
		for name, v := range st.row {
			if name == "pk" || name == "sk" || name == "p" || name == "w" || name == ttlAttribute {
				continue
			}
			if name == "n" {
				v = numberValue(int64(deliveries))
			}
			open.names["#_"+name], open.values[":_"+name] = name, v
			expr += ", #_" + name + " = :_" + name
		}
		row.expr = "attribute_exists(t)"
		if st.open == nil {
			open.expr = "attribute_not_exists(pk)"
			delete(open.values, ":beyond")
			row.expr += " AND attribute_not_exists(p)"
		}
	case st.row.string("t") == "":
		row.expr = "attribute_not_exists(t)"
	default:
		// Somebody is about to list the event: the row is there, the item not yet
		// or not with all that it will say.
		row.expr = "attribute_exists(t)"
	}
	return []types.TransactWriteItem{
		s.transactUpdate(st.openAt, expr, open),
		s.transactUpdate(st.rowAt, "SET p = :p, "+ttlAttribute+" = :x", row),
	}
}

// state is what is kept of an event's deliveries.
type state struct {
	row           item // the list row; nil if there is none
	open          item // all of the open-event item
	rowAt, openAt key
}

// listed reports whether the event is on its list.
func (st state) listed() bool {
	return st.row.string("t") != "" && (!st.row.bool("p") || st.open.string("t") != "")
}

// stateOf reads an event's list row and open-event item, consistently.
func (s *Store) stateOf(ctx context.Context, ref relay.EventRef) (state, error) {
	st := state{rowAt: s.listKey(ref), openAt: s.openKey(ref)}
	rows, opens := s.everyKey("L#", ref), s.everyKey("P#", ref)
	// Twice at most: the row may have been read after its mark was set, and the
	// item before it was there. Of two in shards of different counts the one of
	// the smaller count goes first, as it does where lists are merged.
	for range 2 {
		found, err := s.items(ctx, append(slices.Clone(rows), opens...), true)
		if err != nil {
			return st, err
		}
		for _, k := range rows {
			if it, ok := found[k]; ok {
				st.row, st.rowAt = it, k
			}
		}
		st.open = nil
		for _, k := range opens {
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
