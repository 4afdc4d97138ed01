package dynamo

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hookferry/shared/relay"
)

func accountNameKey(name string) key { return key{"N#" + name, "N"} }

// directory is the partition that names every account, oldest first.
const directory = "G"

func directoryKey(a relay.Account) key { return key{directory, timeKey(a.CreatedAt) + "#" + a.ID} }

// timeKey returns a time as text that sorts as the times do.
func timeKey(t time.Time) string { return fmt.Sprintf("%013d", max(t.UnixMilli(), 0)) }

// cutTimeKey splits what timeKey and a # began.
func cutTimeKey(s string) (t time.Time, rest string, ok bool) {
	at, rest, ok := strings.Cut(s, "#")
	ms, err := strconv.ParseInt(at, 10, 64)
	return time.UnixMilli(ms).UTC(), rest, ok && err == nil && len(at) == 13
}

func accountItem(k key, a relay.Account) item {
	it := newItem(k)
	it.setString("a", a.ID)
	it.setString("n", a.Name)
	it.setTime("c", a.CreatedAt)
	return it
}

func accountOf(it item) relay.Account {
	return relay.Account{ID: it.string("a"), Name: it.string("n"), CreatedAt: it.time("c")}
}

// CreateAccount implements relay.Store.
func (s *Store) CreateAccount(ctx context.Context, a relay.Account) error {
	failed, err := s.transact(ctx,
		s.transactPut(accountItem(accountNameKey(a.Name), a), absent),
		s.transactPut(accountItem(directoryKey(a), a), absent))
	if err != nil {
		return fmt.Errorf("create account %s: %w", a.Name, err)
	}
	if failed >= 0 {
		return fmt.Errorf("create account %s: %w", a.Name, relay.ErrExists)
	}
	return nil
}

// AccountByName implements relay.Store.
func (s *Store) AccountByName(ctx context.Context, name string) (relay.Account, error) {
	it, err := s.item(ctx, accountNameKey(name), true)
	if err != nil {
		return relay.Account{}, fmt.Errorf("read account %s: %w", name, err)
	}
	if it == nil {
		return relay.Account{}, fmt.Errorf("account %s: %w", name, relay.ErrNotFound)
	}
	return accountOf(it), nil
}

// Accounts implements relay.Store.
func (s *Store) Accounts(ctx context.Context, p relay.Page) ([]relay.Account, string, error) {
	after, err := position("g:", p.After)
	if err != nil {
		return nil, "", err
	}
	rows := s.rows(keyRange{pk: directory, after: after}, p.Limit, false)
	var accounts []relay.Account
	next, err := page(ctx, rows, p.Limit, "g:", func(it item) bool {
		accounts = append(accounts, accountOf(it))
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("list accounts: %w", err)
	}
	return accounts, next, nil
}

func keyHashKey(h relay.KeyHash) key {
	return key{"K#" + base64.RawURLEncoding.EncodeToString(h[:]), "K"}
}

// accountKey is the partition of what an account has few of.
func accountKey(account, sk string) key { return key{"A#" + account, sk} }

// keysVersion is the item that every change to an account's keys raises, so
// that one which counted them all first can tell that they are still the same.
func keysVersion(account string) key { return accountKey(account, "M#keys") }

func (s *Store) keyItem(at key, k relay.Key) item {
	it := newItem(at)
	it.setString("i", k.ID)
	it.setString("a", k.Account)
	it.setString("n", k.Name)
	it.setBytes("h", k.Hash[:])
	it.setString("p", k.Prefix)
	setStrings(it, "s", k.Scopes)
	setStrings(it, "an", k.Ancestors)
	it.setBool("hi", k.Hidden)
	it.setTime("c", k.CreatedAt)
	it.setTime("e", k.ExpiresAt)
	it.setTime("r", k.RevokedAt)
	// The item is deleted when the key has been dead for the retention time.
	for _, end := range []time.Time{k.ExpiresAt, k.RevokedAt} {
		if !end.IsZero() {
			it.setExpiry(end.Add(s.retention))
		}
	}
	return it
}

// keepsKey reports whether a key has not been dead for the retention time.
func (s *Store) keepsKey(it item) bool { return s.keeps(it.time("r")) && s.keeps(it.time("e")) }

func keyOf(it item) relay.Key {
	k := relay.Key{
		ID: it.string("i"), Account: it.string("a"), Name: it.string("n"), Prefix: it.string("p"),
		Scopes: stringsOf[relay.Scope](it, "s"), CreatedAt: it.time("c"), ExpiresAt: it.time("e"), RevokedAt: it.time("r"),
		Ancestors: stringsOf[string](it, "an"), Hidden: it.bool("hi"),
	}
	copy(k.Hash[:], it.bytes("h"))
	return k
}

// allKeys reads an account's keys and their version, consistently.
func (s *Store) allKeys(ctx context.Context, account string) (keys []relay.Key, version int64, err error) {
	// The version first: a change between the two reads then shows.
	it, err := s.item(ctx, keysVersion(account), true)
	if err != nil {
		return nil, 0, err
	}
	rows := s.rows(keyRange{pk: accountKey(account, "").pk, low: "K#", high: "K$", consistent: true}, 0, false)
	for {
		row, err := rows.next(ctx)
		if err != nil || row == nil {
			return keys, it.int("v"), err
		}
		if s.keepsKey(row) {
			keys = append(keys, keyOf(row))
		}
	}
}

// changeKeys makes writes that were decided on the keys of one version, and
// reports false if they have changed.
func (s *Store) changeKeys(ctx context.Context, account string, version int64, writes ...types.TransactWriteItem) (bool, error) {
	cond := condition{expr: "v = :old", values: item{":old": numberValue(version), ":new": numberValue(version + 1)}}
	if version == 0 {
		cond = condition{expr: "attribute_not_exists(v)", values: item{":new": numberValue(1)}}
	}
	writes = append(writes, s.transactUpdate(keysVersion(account), "SET v = :new", cond))
	failed, err := s.transact(ctx, writes...)
	if failed >= 0 && failed < len(writes)-1 {
		return false, relay.ErrExists
	}
	return failed < 0, err
}

// CreateKey implements relay.Store.
func (s *Store) CreateKey(ctx context.Context, k relay.Key, limit int) error {
	for round := range maxRounds {
		if err := pause(ctx, round); err != nil {
			return fmt.Errorf("create key %s: %w", k.ID, err)
		}
		keys, version, err := s.allKeys(ctx, k.Account)
		if err != nil {
			return fmt.Errorf("create key %s: count the account's: %w", k.ID, err)
		}
		for _, id := range k.Ancestors {
			if !slices.ContainsFunc(keys, func(o relay.Key) bool { return o.ID == id && o.RevokedAt.IsZero() }) {
				return fmt.Errorf("create key %s: its ancestor %s: %w", k.ID, id, relay.ErrRevoked)
			}
		}
		now, live := s.now(), 0
		for _, other := range keys {
			if other.Check(now) == nil {
				live++
			}
		}
		if live >= limit && !k.Hidden {
			return fmt.Errorf("create key %s: %w", k.ID, relay.ErrLimit)
		}
		byHash, byID := s.keyItem(keyHashKey(k.Hash), k), s.keyItem(accountKey(k.Account, "K#"+k.ID), k)
		if k.Hidden { // its ID is taken, and finds nothing
			byID = newItem(key{"J#" + k.Account + "#" + k.ID, "J"})
			byHash.setExpiry(k.ExpiresAt)
			byID.setExpiry(k.ExpiresAt)
		}
		done, err := s.changeKeys(ctx, k.Account, version, s.transactPut(byHash, absent), s.transactPut(byID, absent))
		if err != nil {
			return fmt.Errorf("create key %s: %w", k.ID, err)
		}
		if done {
			return nil
		}
	}
	return fmt.Errorf("create key %s: the account's keys kept changing", k.ID)
}

// KeyByHash implements relay.Store.
func (s *Store) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	it, err := s.item(ctx, keyHashKey(h), false)
	if err != nil {
		return relay.Key{}, fmt.Errorf("read key by hash: %w", err)
	}
	if it == nil || !s.keepsKey(it) {
		return relay.Key{}, fmt.Errorf("key by hash: %w", relay.ErrNotFound)
	}
	return keyOf(it), nil
}

// Key implements relay.Store.
func (s *Store) Key(ctx context.Context, account, id string) (relay.Key, error) {
	it, err := s.item(ctx, accountKey(account, "K#"+id), true)
	if err != nil {
		return relay.Key{}, fmt.Errorf("read key %s: %w", id, err)
	}
	if it == nil || !s.keepsKey(it) {
		return relay.Key{}, fmt.Errorf("key %s: %w", id, relay.ErrNotFound)
	}
	return keyOf(it), nil
}

// Keys implements relay.Store.
func (s *Store) Keys(ctx context.Context, account string, p relay.Page) ([]relay.Key, string, error) {
	after, err := position("k:", p.After)
	if err != nil {
		return nil, "", err
	}
	rows := s.rows(keyRange{pk: accountKey(account, "").pk, low: "K#", high: "K$", after: after, newest: true, consistent: true}, p.Limit, false)
	var keys []relay.Key
	next, err := page(ctx, rows, p.Limit, "k:", func(it item) bool {
		if !s.keepsKey(it) {
			return false
		}
		keys = append(keys, keyOf(it))
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("list keys of %s: %w", account, err)
	}
	return keys, next, nil
}

// RevokeKey implements relay.Store.
func (s *Store) RevokeKey(ctx context.Context, account, id string, at time.Time, keep relay.Scope) (relay.Key, error) {
	for round := range maxRounds {
		if err := pause(ctx, round); err != nil {
			return relay.Key{}, fmt.Errorf("revoke key %s: %w", id, err)
		}
		keys, version, err := s.allKeys(ctx, account)
		if err != nil {
			return relay.Key{}, fmt.Errorf("revoke key %s: read the account's: %w", id, err)
		}
		i := slices.IndexFunc(keys, func(k relay.Key) bool { return k.ID == id })
		if i < 0 {
			return relay.Key{}, fmt.Errorf("revoke key %s: %w", id, relay.ErrNotFound)
		}
		k := keys[i]
		if !k.RevokedAt.IsZero() {
			return k, nil
		}
		others := slices.ContainsFunc(keys, func(o relay.Key) bool {
			return o.ID != id && o.Check(at) == nil && o.ExpiresAt.IsZero() && o.Allows(keep)
		})
		if keep != "" && !others {
			return relay.Key{}, fmt.Errorf("revoke key %s: %w", id, relay.ErrLastKey)
		}
		k.RevokedAt = relay.Millis(at)
		gone := item{}
		gone.setExpiry(k.RevokedAt.Add(s.retention))
		cond := condition{
			expr: "attribute_exists(pk)", names: map[string]string{"#ttl": ttlAttribute},
			values: item{":r": numberValue(unixMillis(k.RevokedAt)), ":x": gone[ttlAttribute]},
		}
		done, err := s.changeKeys(ctx, account, version,
			s.transactUpdate(accountKey(account, "K#"+id), "SET r = :r, #ttl = :x", cond),
			s.transactUpdate(keyHashKey(k.Hash), "SET r = :r, #ttl = :x", cond))
		if err != nil {
			return relay.Key{}, fmt.Errorf("revoke key %s: %w", id, err)
		}
		if done {
			return k, nil
		}
	}
	return relay.Key{}, fmt.Errorf("revoke key %s: the account's keys kept changing", id)
}

// PutIdempotency implements relay.Store.
func (s *Store) PutIdempotency(ctx context.Context, r relay.Idempotency) (*relay.Idempotency, error) {
	it := newItem(key{"I#" + r.Account + "#" + base64.RawURLEncoding.EncodeToString(r.Key[:]), "I"})
	it.setBytes("b", r.Body[:])
	it.setString("e", r.EventID)
	it.setString("rt", r.Route)
	it.setString("ki", r.KeyID)
	it.setTime("c", r.CreatedAt)
	it.setTime("u", r.ExpiresAt)
	it.setExpiry(r.ExpiresAt)
	there, ok, err := s.putMarked(ctx, it, condition{
		expr:   "attribute_not_exists(pk) OR u <= :now",
		values: item{":now": numberValue(s.now().UnixMilli())},
	})
	if err != nil {
		return nil, fmt.Errorf("put idempotency record of %s: %w", r.Account, err)
	}
	if ok {
		return nil, nil
	}
	existing := &relay.Idempotency{
		Account: r.Account, Key: r.Key, EventID: there.string("e"),
		CreatedAt: there.time("c"), ExpiresAt: there.time("u"), Route: there.string("rt"), KeyID: there.string("ki"),
	}
	copy(existing.Body[:], there.bytes("b"))
	return existing, nil
}

// position checks a page's After and takes off the mark of its list.
func position(list, after string) (string, error) {
	if after == "" {
		return "", nil
	}
	rest, ok := strings.CutPrefix(after, list)
	if !ok || rest == "" || len(rest) > 512 {
		return "", fmt.Errorf("position %q: %w", after, relay.ErrCursor)
	}
	return rest, nil
}
