package sqlite

import (
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// An account may make and revoke keys without end. Each write holds up every
// other account, so it must not take longer for what is dead.
func TestDeadKeysCostNothing(t *testing.T) {
	clock := relaytest.NewClock()
	db := open(t, Config{Now: clock.Now, Exclusive: true})
	key := func(account string) relay.Key {
		return relay.Key{
			ID: relay.NewID(relay.KeyPrefix, clock.Now()), Account: account, Hash: relay.HashSecret(relay.NewAPIKey()),
			Scopes: relay.Scopes(), CreatedAt: clock.Now(),
		}
	}
	err := db.w.do(t.Context(), func(c *conn) error {
		for i := range 20_000 {
			k := key("acct_churn")
			k.RevokedAt = clock.Now()
			if i%2 == 0 {
				k.RevokedAt, k.ExpiresAt = time.Time{}, clock.Now().Add(-time.Second)
			}
			if _, err := c.exec("INSERT INTO keys ("+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				k.CreatedAt, k.ID, k.Account, k.Name, k.Hash[:], k.Prefix, texts(k.Scopes), k.ExpiresAt, k.RevokedAt, texts(k.Ancestors)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	took := func(account string) time.Duration {
		start := time.Now()
		for range 40 {
			k := key(account)
			if err := db.CreateKey(t.Context(), k, 100); err != nil {
				t.Fatal(err)
			}
			if _, err := db.RevokeKey(t.Context(), account, k.ID, clock.Now(), ""); err != nil {
				t.Fatal(err)
			}
			if _, _, err := db.Keys(t.Context(), account, relay.Page{Limit: 20}); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(start)
	}
	took("acct_calm") // prepares the statements
	calm, churn := time.Hour, time.Hour
	for range 3 { // the best of them, because the machine does other things too
		calm, churn = min(calm, took("acct_calm")), min(churn, took("acct_churn"))
	}
	if churn > 2*calm+100*time.Millisecond {
		t.Errorf("an account with 20,000 dead keys: %v, one without: %v", churn, calm)
	}
}
