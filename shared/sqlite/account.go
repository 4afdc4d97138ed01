package sqlite

import (
	"context"
	"slices"
	"time"

	"hookferry/shared/relay"
)

var (
	accountList = list{name: "accounts", keys: "it"}
	keyList     = list{name: "keys", keys: "it", desc: true}
)

// CreateAccount implements relay.Store.
func (db *DB) CreateAccount(ctx context.Context, a relay.Account) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		n, err := c.exec("INSERT INTO accounts (id, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
			a.ID, a.Name, a.CreatedAt)
		if err == nil && n == 0 {
			err = relay.ErrExists
		}
		return err
	}), "create account %s", a.Name)
}

// AccountByName implements relay.Store.
func (db *DB) AccountByName(ctx context.Context, name string) (a relay.Account, err error) {
	err = db.read(ctx, func(c *conn) error {
		return one(c.first("SELECT id, name, created_at FROM accounts WHERE name = ?", func(r row) error {
			a = relay.Account{ID: r.text(0), Name: r.text(1), CreatedAt: r.time(2)}
			return nil
		}, name))
	})
	return a, wrap(err, "account %q", name)
}

// one makes a row that was not found ErrNotFound.
func one(found bool, err error) error {
	if err == nil && !found {
		return relay.ErrNotFound
	}
	return err
}

// Accounts implements relay.Store.
func (db *DB) Accounts(ctx context.Context, p relay.Page) (accounts []relay.Account, next string, err error) {
	next, err = db.page(ctx, accountList, p,
		"SELECT created_at, id, name FROM accounts WHERE (created_at, id) > (?, ?) ORDER BY created_at, id", nil,
		func(r row) (bool, error) {
			accounts = append(accounts, relay.Account{ID: r.text(1), Name: r.text(2), CreatedAt: r.time(0)})
			return true, nil
		})
	return accounts, next, wrap(err, "accounts")
}

const keyColumns = "created_at, id, account, name, hash, prefix, scopes, expires_at, revoked_at, ancestors"

func readKey(r row) (k relay.Key, err error) {
	k = relay.Key{
		CreatedAt: r.time(0), ID: r.text(1), Account: r.text(2), Name: r.text(3), Prefix: r.text(5),
		ExpiresAt: r.time(7), RevokedAt: r.time(8),
	}
	copy(k.Hash[:], r.blob(4))
	if k.Ancestors, err = parseTexts[string](r.text(9)); err != nil {
		return k, err
	}
	k.Scopes, err = parseTexts[relay.Scope](r.text(6))
	return k, err
}

func readKeys(c *conn, query string, args ...any) ([]relay.Key, error) {
	return readKeysOf(c, "keys", query, args...)
}

func readKeysOf(c *conn, table, query string, args ...any) (keys []relay.Key, err error) {
	err = c.each("SELECT "+keyColumns+" FROM "+table+" "+query, func(r row) error {
		k, err := readKey(r)
		k.Hidden = table == linkKeys
		keys = append(keys, k)
		return err
	}, args...)
	return keys, err
}

// kept leaves out keys that have been dead for the retention time.
const kept = " AND (revoked_at = 0 OR revoked_at >= ?) AND (expires_at = 0 OR expires_at >= ?)"

// linkKeys is the table of hidden keys.
const linkKeys = "link_keys"

// liveKeys returns the account's keys that can be used at a time. It reads no
// others, of which there is no end.
func liveKeys(c *conn, account string, at time.Time) ([]relay.Key, error) {
	forever, err := readKeys(c, "INDEXED BY keys_live WHERE account = ? AND revoked_at = 0 AND expires_at = 0", account)
	if err != nil {
		return nil, err
	}
	expiring, err := readKeys(c, "INDEXED BY keys_live WHERE account = ? AND revoked_at = 0 AND expires_at > ?", account, max(millis(at), 0))
	return append(forever, expiring...), err
}

func (db *DB) key(ctx context.Context, tables []string, query string, args ...any) (relay.Key, error) {
	var keys []relay.Key
	err := db.read(ctx, func(c *conn) (err error) {
		for _, table := range tables {
			if keys, err = readKeysOf(c, table, query, args...); err != nil || len(keys) > 0 {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return relay.Key{}, err
	}
	if len(keys) == 0 {
		return relay.Key{}, relay.ErrNotFound
	}
	return keys[0], nil
}

// CreateKey implements relay.Store. It returns ErrExists for an ID or hash that
// is taken.
func (db *DB) CreateKey(ctx context.Context, k relay.Key, limit int) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		table := "keys"
		if k.Hidden {
			table = linkKeys
		} else if live, err := liveKeys(c, k.Account, db.now()); err != nil {
			return err
		} else if len(live) >= limit {
			return relay.ErrLimit
		}
		for _, id := range k.Ancestors {
			there, err := c.exists("SELECT 1 FROM keys WHERE account = ? AND id = ? AND revoked_at = 0"+kept, k.Account, id, db.cutoff(), db.cutoff())
			if err != nil {
				return err
			}
			if !there {
				return relay.ErrRevoked
			}
		}
		n, err := c.exec("INSERT INTO "+table+" ("+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			k.CreatedAt, k.ID, k.Account, k.Name, k.Hash[:], k.Prefix, texts(k.Scopes), k.ExpiresAt, k.RevokedAt, texts(k.Ancestors))
		if err == nil && n == 0 {
			err = relay.ErrExists
		}
		return err
	}), "create key %s", k.ID)
}

// KeyByHash implements relay.Store.
func (db *DB) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	k, err := db.key(ctx, []string{"keys", linkKeys}, "WHERE hash = ?"+kept, h[:], db.cutoff(), db.cutoff())
	return k, wrap(err, "key by hash")
}

// Key implements relay.Store.
func (db *DB) Key(ctx context.Context, account, id string) (relay.Key, error) {
	k, err := db.key(ctx, []string{"keys"}, "WHERE account = ? AND id = ?"+kept, account, id, db.cutoff(), db.cutoff())
	return k, wrap(err, "key %s", id)
}

// Keys implements relay.Store.
func (db *DB) Keys(ctx context.Context, account string, p relay.Page) (keys []relay.Key, next string, err error) {
	next, err = db.page(ctx, keyList, p, "SELECT "+keyColumns+` FROM keys
		WHERE account = ?`+kept+` AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC`, []any{account, db.cutoff(), db.cutoff()},
		func(r row) (bool, error) {
			k, err := readKey(r)
			keys = append(keys, k)
			return true, err
		})
	return keys, next, wrap(err, "keys of %s", account)
}

// RevokeKey implements relay.Store.
func (db *DB) RevokeKey(ctx context.Context, account, id string, at time.Time, keep relay.Scope) (revoked relay.Key, err error) {
	err = db.w.do(ctx, func(c *conn) error {
		keys, err := readKeys(c, "WHERE account = ? AND id = ?", account, id)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return relay.ErrNotFound
		}
		if revoked = keys[0]; !revoked.RevokedAt.IsZero() {
			return nil
		}
		live, err := liveKeys(c, account, at)
		if err != nil {
			return err
		}
		if keep != "" && !slices.ContainsFunc(live, func(k relay.Key) bool { return k.ID != id && k.ExpiresAt.IsZero() && k.Allows(keep) }) {
			return relay.ErrLastKey
		}
		revoked.RevokedAt = relay.Millis(at)
		_, err = c.exec("UPDATE keys SET revoked_at = ? WHERE account = ? AND id = ?", at, account, id)
		return err
	})
	if err != nil {
		return relay.Key{}, wrap(err, "revoke key %s", id)
	}
	return revoked, nil
}

// PutIdempotency implements relay.Store.
func (db *DB) PutIdempotency(ctx context.Context, r relay.Idempotency) (existing *relay.Idempotency, err error) {
	err = db.w.do(ctx, func(c *conn) error {
		existing = nil
		var old relay.Idempotency
		found, err := c.first("SELECT body, event, created_at, expires_at, route, key_id FROM idempotency WHERE account = ? AND key = ?",
			func(row row) error {
				old = relay.Idempotency{Account: r.Account, Key: r.Key, EventID: row.text(1), CreatedAt: row.time(2), ExpiresAt: row.time(3), Route: row.text(4), KeyID: row.text(5)}
				copy(old.Body[:], row.blob(0))
				return nil
			}, r.Account, r.Key[:])
		if err != nil {
			return err
		}
		if found && db.now().Before(old.ExpiresAt) {
			existing = &old
			return nil
		}
		_, err = c.exec(`INSERT OR REPLACE INTO idempotency (account, key, body, event, created_at, expires_at, route, key_id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, r.Account, r.Key[:], r.Body[:], r.EventID, r.CreatedAt, r.ExpiresAt, r.Route, r.KeyID)
		return err
	})
	return existing, wrap(err, "put idempotency record for %s", r.EventID)
}
