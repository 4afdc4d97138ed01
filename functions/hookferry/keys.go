package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"hookferry/shared/relay"
)

// keyLimit is the most live keys of an account.
const keyLimit = 100

// keysCommand makes, lists and revokes keys straight on the store: it is how the
// first key is made, and how an account whose last key is lost gets a new one.
func keysCommand(p program) *cobra.Command {
	const where = "\n\nWorks on a data folder, also while dev or serve runs on it, or on a deployed table."
	create := verb("create", "make an API key, and its account", "Make an API key. It is printed once. The account is made when there is none of that name."+where,
		"hookferry keys create -data DIR -account acme -scopes all", "hookferry keys create -table hookferry-prod -account acme -expires-in 720h -json")
	flags := create.Flags()
	name := flags.String("name", "made by hookferry keys", "name of the key, for people")
	scopes := flags.String("scopes", string(relay.ScopeManage), "`scopes`, separated by commas, or all; there are: "+strings.ReplaceAll(joinScopes(relay.Scopes()), ",", ", ")+
		"; and, for the operator alone and not part of all, "+string(relay.ScopeAccounts)+", which makes accounts")
	expires := flags.Duration("expires-in", 0, "how long it lives, like 720h (0: for ever)")
	onAccount(p, create, true, func(ctx context.Context, store relay.Store, account string, asJSON bool) error {
		return createKey(ctx, p, store, account, *name, *scopes, *expires, asJSON)
	})
	list := verb("list", "list the API keys of an account", "List the API keys of an account."+where, "hookferry keys list -data DIR -account acme")
	onAccount(p, list, false, func(ctx context.Context, store relay.Store, account string, asJSON bool) error {
		return listKeys(ctx, p, store, account, asJSON)
	})
	revoke := verb("revoke", "revoke an API key", "Revoke an API key. It stops working within 10 seconds."+where,
		"hookferry keys revoke -data DIR -account acme -id key_…")
	id := revoke.Flags().String("id", "", "`key_…` to revoke")
	onAccount(p, revoke, false, func(ctx context.Context, store relay.Store, account string, asJSON bool) error {
		return revokeKey(ctx, p, store, account, *id, asJSON)
	})
	return family("keys", "make, list and revoke API keys", "Make, list and revoke API keys."+where, create, list, revoke)
}

// onAccount gives a command the flags that say which account, where and in which
// form, and opens the store for do. If make is set, a data folder that is not
// there yet is made.
func onAccount(p program, c *cobra.Command, make bool, do func(ctx context.Context, store relay.Store, account string, asJSON bool) error) {
	account := c.Flags().String("account", "", "`NAME` of the account")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	where := addBackendFlags(c.Flags())
	where.make = make
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if *account == "" {
			return usagef("say which account: -account NAME")
		}
		b, err := where.open(cmd.Context(), p)
		if err != nil {
			return err
		}
		defer b.end(p)
		return do(cmd.Context(), b.store, *account, *asJSON)
	}
}

func createKey(ctx context.Context, p program, store relay.Store, account, name, scopes string, expires time.Duration, asJSON bool) error {
	wanted, err := parseScopes(scopes)
	if err != nil {
		return err
	}
	if expires < 0 {
		return errors.New("-expires-in: want a duration from now on, like 720h")
	}
	if err := checkName("-name", name); err != nil {
		return err
	}
	acct, err := ensureAccount(ctx, store, account)
	if err != nil {
		return err
	}
	key, text, err := newKey(ctx, store, acct.ID, name, wanted, expires)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.out, map[string]string{"account": acct.ID, "id": key.ID, "api_key": text.Reveal()})
	}
	fmt.Fprintf(p.out, "account  %s (%s)\nkey      %s\nscopes   %s\napi_key  %s\n\nThe key is shown this once; keep it safe.\n",
		acct.ID, acct.Name, key.ID, joinScopes(wanted), text.Reveal())
	return nil
}

// checkName holds a name to what the management API takes for one.
func checkName(option, name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 100 || strings.TrimSpace(name) != name || printable(name) != name || strings.ContainsAny(name, "\n\t") {
		return fmt.Errorf("%s: want 1 to 100 characters, no control characters, and no blank at either end", option)
	}
	return nil
}

// ensureAccount finds the account of the name, or makes it.
func ensureAccount(ctx context.Context, store relay.Store, name string) (relay.Account, error) {
	if err := checkName("-account", name); err != nil {
		return relay.Account{}, err
	}
	for {
		acct, err := store.AccountByName(ctx, name)
		if !errors.Is(err, relay.ErrNotFound) {
			return acct, err
		}
		now := relay.Millis(time.Now())
		acct = relay.Account{ID: relay.NewID(relay.AccountPrefix, now), Name: name, CreatedAt: now}
		if err := store.CreateAccount(ctx, acct); !errors.Is(err, relay.ErrExists) {
			return acct, err
		}
	}
}

// noAccount says what to do about an account that was not found.
func noAccount(name string, err error) error {
	if errors.Is(err, relay.ErrNotFound) {
		return fmt.Errorf("there is no account %q; hookferry keys create makes one", name)
	}
	return err
}

func newKey(ctx context.Context, store relay.Store, account, name string, scopes []relay.Scope, expires time.Duration) (relay.Key, relay.Secret, error) {
	text, now := relay.NewAPIKey(), relay.Millis(time.Now())
	key := relay.Key{
		ID: relay.NewID(relay.KeyPrefix, now), Account: account, Name: name, Hash: relay.HashSecret(text),
		Prefix: text.Reveal()[:12], Scopes: scopes, CreatedAt: now,
	}
	if expires > 0 {
		key.ExpiresAt = relay.Millis(now.Add(expires))
	}
	if err := store.CreateKey(ctx, key, keyLimit); err != nil {
		return relay.Key{}, "", fmt.Errorf("create key: %w", err)
	}
	return key, text, nil
}

func listKeys(ctx context.Context, p program, store relay.Store, account string, asJSON bool) error {
	acct, err := store.AccountByName(ctx, account)
	if err != nil {
		return noAccount(account, err)
	}
	keys, err := everyPage(func(page relay.Page) ([]relay.Key, string, error) { return store.Keys(ctx, acct.ID, page) })
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(table, "ID\tPREFIX\tNAME\tSCOPES\tCREATED\tSTATE")
	}
	for _, k := range keys {
		state := "live"
		if err := k.Check(time.Now()); err != nil {
			state = "revoked"
			if k.RevokedAt.IsZero() {
				state = "expired"
			}
		}
		if asJSON {
			if err := printJSON(p.out, map[string]any{
				"id": k.ID, "prefix": k.Prefix, "name": k.Name,
				"scopes": k.Scopes, "created_at": relay.FormatTime(k.CreatedAt), "state": state,
			}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%s…\t%s\t%s\t%s\t%s\n", k.ID, k.Prefix, printable(k.Name), joinScopes(k.Scopes), relay.FormatTime(k.CreatedAt), state)
	}
	return table.Flush()
}

func revokeKey(ctx context.Context, p program, store relay.Store, account, id string, asJSON bool) error {
	if id == "" {
		return usagef("say which key: -id key_…; hookferry keys list shows them")
	}
	acct, err := store.AccountByName(ctx, account)
	if err != nil {
		return noAccount(account, err)
	}
	// The last key may go: whoever may run this can make another.
	key, err := store.RevokeKey(ctx, acct.ID, id, relay.Millis(time.Now()), "")
	if err != nil {
		return fmt.Errorf("revoke %s: %w", id, err)
	}
	if asJSON {
		return printJSON(p.out, map[string]string{"id": key.ID, "revoked_at": relay.FormatTime(key.RevokedAt)})
	}
	fmt.Fprintf(p.out, "%s is revoked since %s; it stops working within 10 seconds\n", key.ID, relay.FormatTime(key.RevokedAt))
	return nil
}

func parseScopes(s string) ([]relay.Scope, error) {
	if s == "all" {
		return relay.Scopes(), nil
	}
	var scopes []relay.Scope
	for _, part := range strings.Split(s, ",") {
		scope := relay.Scope(strings.TrimSpace(part))
		if !slices.Contains(relay.Scopes(), scope) && scope != relay.ScopeAccounts {
			return nil, fmt.Errorf("-scopes: there is no scope %q; there are: %s", part, joinScopes(relay.Scopes()))
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes, nil
}

func joinScopes(scopes []relay.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, ",")
}

// everyPage reads a list to its end.
func everyPage[T any](read func(relay.Page) ([]T, string, error)) ([]T, error) {
	var all []T
	for page := (relay.Page{Limit: 100}); ; {
		items, next, err := read(page)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		page.After = next
	}
}
