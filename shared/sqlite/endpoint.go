package sqlite

import (
	"context"
	"errors"
	"time"

	"hookferry/shared/relay"
)

var endpointList = list{name: "endpoints", keys: "it", desc: true}

const endpointColumns = `created_at, id, account, version, name, url, event_types, source_ids, format, signatures, status,
	secret, secret_preview, old_secret, old_secret_until, updated_at, disabled_at, disabled_reason, revoked_at, key_id, filter, max_per_second, max_in_flight, rotations`

func readEndpoint(r row) (relay.Endpoint, error) {
	types, err1 := parseTexts[string](r.text(6))
	sources, err2 := parseTexts[string](r.text(7))
	schemes, err3 := parseTexts[relay.Scheme](r.text(9))
	return relay.Endpoint{
		CreatedAt: r.time(0), ID: r.text(1), Account: r.text(2), Version: r.int(3), Name: r.text(4),
		URL: r.text(5), EventTypes: types, SourceIDs: sources, Format: relay.Format(r.text(8)), Signatures: schemes,
		Status: relay.Status(r.text(10)), Secret: relay.Sealed(r.text(11)), SecretPreview: r.text(12),
		OldSecret: relay.Sealed(r.text(13)), OldSecretUntil: r.time(14), UpdatedAt: r.time(15), DisabledAt: r.time(16),
		DisabledReason: relay.DisabledReason(r.text(17)), RevokedAt: r.time(18), KeyID: r.text(19),
		Filter: r.text(20), MaxPerSecond: int(r.int(21)), MaxInFlight: int(r.int(22)), Rotations: int(r.int(23)),
	}, errors.Join(err1, err2, err3)
}

func putEndpoint(c *conn, e relay.Endpoint, version int64) error {
	_, err := c.exec(`INSERT OR REPLACE INTO endpoints (`+endpointColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.CreatedAt, e.ID, e.Account, version, e.Name, e.URL, texts(e.EventTypes), texts(e.SourceIDs), string(e.Format),
		texts(e.Signatures), string(e.Status), string(e.Secret), e.SecretPreview, string(e.OldSecret), e.OldSecretUntil,
		e.UpdatedAt, e.DisabledAt, string(e.DisabledReason), e.RevokedAt, e.KeyID,
		e.Filter, e.MaxPerSecond, e.MaxInFlight, e.Rotations)
	return err
}

// keyTaken reports whether another live endpoint of the account has the KeyID.
func keyTaken(c *conn, e relay.Endpoint) (bool, error) {
	if e.KeyID == "" || e.Deleted() {
		return false, nil
	}
	return c.exists("SELECT 1 FROM endpoints WHERE account = ? AND key_id = ? AND key_id <> '' AND revoked_at = 0 AND id <> ?",
		e.Account, e.KeyID, e.ID)
}

// CreateEndpoint implements relay.Store. It returns ErrExists for an ID that is
// taken, too.
func (db *DB) CreateEndpoint(ctx context.Context, e relay.Endpoint, limit int) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		taken, err := keyTaken(c, e)
		if err != nil {
			return err
		}
		same, err := c.exists("SELECT 1 FROM endpoints WHERE account = ? AND id = ?", e.Account, e.ID)
		if err != nil {
			return err
		}
		if taken || same {
			return relay.ErrExists
		}
		live, err := c.number("SELECT count(*) FROM endpoints WHERE account = ? AND revoked_at = 0", e.Account)
		if err != nil {
			return err
		}
		if live >= int64(limit) {
			return relay.ErrLimit
		}
		return putEndpoint(c, e, 1)
	}), "create endpoint %s", e.ID)
}

// UpdateEndpoint implements relay.Store.
func (db *DB) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		err := sameVersion(c, "SELECT version FROM endpoints WHERE account = ? AND id = ?", e.Version, e.Account, e.ID)
		if err != nil {
			return err
		}
		if taken, err := keyTaken(c, e); err != nil {
			return err
		} else if taken {
			return relay.ErrExists
		}
		return putEndpoint(c, e, e.Version+1)
	}), "update endpoint %s", e.ID)
}

// sameVersion returns ErrNotFound or ErrConflict unless the query gives version.
func sameVersion(c *conn, query string, version int64, args ...any) error {
	var stored int64
	if err := one(c.first(query, func(r row) error { stored = r.int(0); return nil }, args...)); err != nil {
		return err
	}
	if stored != version {
		return relay.ErrConflict
	}
	return nil
}

// Endpoint implements relay.Store.
func (db *DB) Endpoint(ctx context.Context, account, id string) (e relay.Endpoint, err error) {
	err = db.read(ctx, func(c *conn) error {
		return one(c.first("SELECT "+endpointColumns+" FROM endpoints WHERE account = ? AND id = ? AND (revoked_at = 0 OR revoked_at >= ?)", func(r row) error {
			e, err = readEndpoint(r)
			return err
		}, account, id, db.cutoff()))
	})
	return e, wrap(err, "endpoint %s", id)
}

// Endpoints implements relay.Store.
func (db *DB) Endpoints(ctx context.Context, account string, p relay.Page) (endpoints []relay.Endpoint, next string, err error) {
	next, err = db.page(ctx, endpointList, p, "SELECT "+endpointColumns+` FROM endpoints
		WHERE account = ? AND (revoked_at = 0 OR revoked_at >= ?) AND (created_at, id) < (?, ?)
		ORDER BY created_at DESC, id DESC`, []any{account, db.cutoff()},
		func(r row) (bool, error) {
			e, err := readEndpoint(r)
			endpoints = append(endpoints, e)
			return true, err
		})
	return endpoints, next, wrap(err, "endpoints of %s", account)
}

// LiveEndpoints implements relay.Store.
func (db *DB) LiveEndpoints(ctx context.Context, account string) (endpoints []relay.Endpoint, err error) {
	err = db.read(ctx, func(c *conn) error {
		return c.each("SELECT "+endpointColumns+" FROM endpoints WHERE account = ? AND revoked_at = 0", func(r row) error {
			e, err := readEndpoint(r)
			endpoints = append(endpoints, e)
			return err
		}, account)
	})
	return endpoints, wrap(err, "live endpoints of %s", account)
}

const countersColumns = "last_success_at, last_failure_at, failure_count, failing_since, timeouts, probe, degraded, failing, recovered"

func readCounters(c *conn, endpoint string) (n relay.Counters, err error) {
	_, err = c.first("SELECT "+countersColumns+" FROM counters WHERE endpoint = ?",
		func(r row) error {
			n = relay.Counters{
				LastSuccessAt: r.time(0), LastFailureAt: r.time(1), FailureCount: int(r.int(2)), FailingSince: r.time(3), Timeouts: int(r.int(4)),
				ProbeUntil: r.time(5), DegradedAt: r.time(6), FailingAt: r.time(7), RecoveredAt: r.time(8),
			}
			return nil
		}, endpoint)
	return n, err
}

func putCounters(c *conn, endpoint string, n relay.Counters) error {
	_, err := c.exec("INSERT OR REPLACE INTO counters (endpoint, "+countersColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		endpoint, n.LastSuccessAt, n.LastFailureAt, n.FailureCount, n.FailingSince, n.Timeouts,
		n.ProbeUntil, n.DegradedAt, n.FailingAt, n.RecoveredAt)
	return err
}

// Counters implements relay.Store.
func (db *DB) Counters(ctx context.Context, endpoints ...string) (map[string]relay.Counters, error) {
	counters := make(map[string]relay.Counters, len(endpoints))
	err := db.read(ctx, func(c *conn) error {
		for _, id := range endpoints {
			n, err := readCounters(c, id)
			if err != nil {
				return err
			}
			counters[id] = n
		}
		return nil
	})
	return counters, wrap(err, "counters")
}

// AddOutcomes implements relay.Store.
func (db *DB) AddOutcomes(ctx context.Context, endpoint string, o relay.Outcomes) (n relay.Counters, err error) {
	err = db.w.relaxed(ctx, func(c *conn) error {
		n, err = readCounters(c, endpoint)
		if err != nil {
			return err
		}
		n = n.Apply(o)
		if err := db.addActivity(c, endpoint, o.Activity); err != nil {
			return err
		}
		return putCounters(c, endpoint, n)
	})
	return n, wrap(err, "add outcomes of %s", endpoint)
}

// ResetCounters implements relay.Store.
func (db *DB) ResetCounters(ctx context.Context, endpoint string) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		_, err := c.exec("UPDATE counters SET failure_count = 0, failing_since = 0, timeouts = 0 WHERE endpoint = ?", endpoint)
		return err
	}), "reset counters of %s", endpoint)
}

// TakeMark implements relay.Store.
func (db *DB) TakeMark(ctx context.Context, endpoint string, m relay.Mark, free, to time.Time) (taken bool, err error) {
	err = db.w.do(ctx, func(c *conn) error {
		n, err := readCounters(c, endpoint)
		if err != nil {
			return err
		}
		at := m.Of(&n)
		if taken = !at.After(free); !taken {
			return nil
		}
		*at = to
		return putCounters(c, endpoint, n)
	})
	return taken && err == nil, wrap(err, "take the mark %s of %s", m, endpoint)
}
