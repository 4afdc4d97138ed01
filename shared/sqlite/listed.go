package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hookferry/shared/relay"
)

var (
	eventList        = list{name: "events", keys: "it", desc: true}
	eventStatusList  = list{name: "events by status", keys: "it", desc: true}
	eventSubjectList = list{name: "events by subject", keys: "it", desc: true}
)

const listedColumns = "created_at, id, status, type, format, source, verified_by, test, request, only, confirm, subject, endpoints"

// Events implements relay.Store. Events of a subject, and those of statuses
// other than delivered, are found by an index; the rest of the filter is looked
// for row by row.
func (db *DB) Events(ctx context.Context, account string, f relay.EventFilter, p relay.Page) (events []relay.EventSummary, next string, err error) {
	l, query, args := db.eventQuery(account, f)
	next, err = db.page(ctx, l, p, query, args, func(r row) (bool, error) {
		ev := relay.Event{
			Account: account, CreatedAt: r.time(0), Type: r.text(3), Format: relay.Format(r.text(4)),
			SourceID: r.text(5), VerifiedBy: relay.Verification(r.text(6)), Test: r.bool(7), RequestID: r.text(8),
			Only: r.text(9), Confirm: relay.Confirm(r.text(10)), Subject: r.text(11),
		}
		ev.SetKey(r.text(1))
		var endpoints []string
		if f.EndpointID != "" {
			var err error
			if endpoints, err = parseTexts[string](r.text(12)); err != nil {
				return false, err
			}
		}
		status := relay.EventStatus(r.text(2))
		if !f.Wants(status) || !f.Fits(ev, endpoints) {
			return false, nil
		}
		events = append(events, relay.EventSummary{Status: status, Event: ev})
		return true, nil
	})
	return events, next, wrap(err, "events of %s", account)
}

// eventQuery returns the query that reads a list, the newest first, by the index
// that suits the filter best. A position's two values are its last parameters.
func (db *DB) eventQuery(account string, f relay.EventFilter) (l list, query string, args []any) {
	since, until := max(millis(f.Since), db.cutoff()), int64(1)<<62
	if !f.Until.IsZero() {
		until = millis(f.Until)
	}
	switch {
	case f.Subject != "":
		return eventSubjectList, "SELECT " + listedColumns + ` FROM listed INDEXED BY listed_by_subject
			WHERE account = ? AND subject = ? AND subject <> '' AND created_at >= ? AND created_at < ?
			AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC`, []any{account, f.Subject, since, until}
	case len(f.Statuses) == 0 || slices.Contains(f.Statuses, relay.EventDelivered):
		return eventList, "SELECT " + listedColumns + ` FROM listed
			WHERE account = ? AND created_at >= ? AND created_at < ? AND (created_at, id) < (?, ?)
			ORDER BY created_at DESC, id DESC`, []any{account, since, until}
	}
	// One walk for each status, merged; each stops where a page would.
	args = []any{account, since, until}
	at := len(f.Statuses) + len(args) + 1 // the place of the position among the parameters
	var walks []string
	for _, status := range f.Statuses {
		args = append(args, string(status))
		walks = append(walks, fmt.Sprintf(`SELECT * FROM (SELECT %s FROM listed INDEXED BY listed_by_status
			WHERE account = ?1 AND status = ?%d AND status <> 'delivered' AND created_at >= ?2 AND created_at < ?3
			AND (created_at, id) < (?%d, ?%d) ORDER BY created_at DESC, id DESC LIMIT %s)`,
			listedColumns, len(args), at, at+1, lookAhead))
	}
	return eventStatusList, strings.Join(walks, " UNION ALL ") + " ORDER BY created_at DESC, id DESC", args
}
