package sqlite

import (
	"context"

	"hookferry/shared/relay"
)

var sourceList = list{name: "sources", keys: "it", desc: true}

const sourceColumns = `created_at, id, account, version, provider, name, status, updated_at, secret, old_secret,
	old_secret_until, token_hash, old_token_hash, old_token_until, token, api_key, api, confirm, recipe, public_keys`

func readSource(r row) (s relay.Source, err error) {
	s = relay.Source{
		CreatedAt: r.time(0), ID: r.text(1), Account: r.text(2), Version: r.int(3),
		Provider: relay.Provider(r.text(4)), Name: r.text(5), Status: relay.Status(r.text(6)), UpdatedAt: r.time(7),
		Secret: relay.Sealed(r.text(8)), OldSecret: relay.Sealed(r.text(9)), OldSecretUntil: r.time(10),
		OldTokenUntil: r.time(13), Token: relay.Sealed(r.text(14)), APIKey: relay.Sealed(r.text(15)), API: r.text(16),
		Confirm: relay.Confirm(r.text(17)), Recipe: r.text(18),
	}
	copy(s.TokenHash[:], r.blob(11))
	copy(s.OldTokenHash[:], r.blob(12))
	s.PublicKeys, err = parseTexts[string](r.text(19))
	return s, err
}

func putSource(c *conn, s relay.Source, version int64) error {
	_, err := c.exec(`INSERT OR REPLACE INTO sources (`+sourceColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.CreatedAt, s.ID, s.Account, version, string(s.Provider), s.Name, string(s.Status), s.UpdatedAt, string(s.Secret),
		string(s.OldSecret), s.OldSecretUntil, s.TokenHash[:], s.OldTokenHash[:], s.OldTokenUntil, string(s.Token),
		string(s.APIKey), s.API, string(s.Confirm), s.Recipe, texts(s.PublicKeys))
	return err
}

// CreateSource implements relay.Store. It returns ErrExists for an ID that is
// taken.
func (db *DB) CreateSource(ctx context.Context, s relay.Source, limit int) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		same, err := c.exists("SELECT 1 FROM sources WHERE id = ?", s.ID)
		if err != nil {
			return err
		}
		if same {
			return relay.ErrExists
		}
		n, err := c.number("SELECT count(*) FROM sources WHERE account = ?", s.Account)
		if err != nil {
			return err
		}
		if n >= int64(limit) {
			return relay.ErrLimit
		}
		return putSource(c, s, 1)
	}), "create source %s", s.ID)
}

// UpdateSource implements relay.Store.
func (db *DB) UpdateSource(ctx context.Context, s relay.Source) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		err := sameVersion(c, "SELECT version FROM sources WHERE id = ? AND account = ?", s.Version, s.ID, s.Account)
		if err != nil {
			return err
		}
		return putSource(c, s, s.Version+1)
	}), "update source %s", s.ID)
}

// DeleteSource implements relay.Store.
func (db *DB) DeleteSource(ctx context.Context, account, id string) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		n, err := c.exec("DELETE FROM sources WHERE id = ? AND account = ?", id, account)
		if err != nil {
			return err
		}
		if n == 0 {
			return relay.ErrNotFound
		}
		for _, table := range []string{"expectations", "refusals"} {
			if _, err := c.exec("DELETE FROM "+table+" WHERE source = ?", id); err != nil {
				return err
			}
		}
		return nil
	}), "delete source %s", id)
}

func (db *DB) source(ctx context.Context, where string, args ...any) (s relay.Source, err error) {
	err = db.read(ctx, func(c *conn) error {
		return one(c.first("SELECT "+sourceColumns+" FROM sources WHERE "+where, func(r row) error {
			s, err = readSource(r)
			return err
		}, args...))
	})
	return s, err
}

// Source implements relay.Store.
func (db *DB) Source(ctx context.Context, account, id string) (relay.Source, error) {
	s, err := db.source(ctx, "id = ? AND account = ?", id, account)
	return s, wrap(err, "source %s", id)
}

// IngestSource implements relay.Store.
func (db *DB) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	s, err := db.source(ctx, "id = ?", id)
	return s, wrap(err, "source %s", id)
}

// Sources implements relay.Store.
func (db *DB) Sources(ctx context.Context, account string, p relay.Page) (sources []relay.Source, next string, err error) {
	next, err = db.page(ctx, sourceList, p, "SELECT "+sourceColumns+` FROM sources
		WHERE account = ? AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC`, []any{account},
		func(r row) (bool, error) {
			s, err := readSource(r)
			sources = append(sources, s)
			return true, err
		})
	return sources, next, wrap(err, "sources of %s", account)
}
