package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"hookferry/shared/relay"
)

// keyLimit is the most live keys of an account.
const keyLimit = 100

// runKeys makes, lists and revokes keys straight on the store: it is how the
// first key is made, and how an account whose last key is lost gets a new one.
func runKeys(ctx context.Context, p program, args []string) error {
	verb, args, err := pick(p, "keys", args, "create", "list", "revoke")
	if err != nil {
		return err
	}
	about := map[string]string{
		"create": "Make an API key. It is printed once. The account is made when there is none of that name.",
		"list":   "List the API keys of an account.",
		"revoke": "Revoke an API key. It stops working within 10 seconds.",
	}
	fs := newFlags(p, "keys "+verb, about[verb]+"\n\nWorks on a data folder, also while dev or serve runs on it, or on a deployed table.")
	account := fs.String("account", "", "`NAME` of the account")
	asJSON := fs.Bool("json", false, "print JSON")
	name, scopes, expires := new(string), new(string), new(time.Duration)
	id := new(string)
	switch verb {
	case "create":
		fs.StringVar(name, "name", "made by hookferry keys", "name of the key, for people")
		fs.StringVar(scopes, "scopes", string(relay.ScopeManage), "scopes, separated by commas, or all; there are: "+joinScopes(relay.Scopes()))
		fs.DurationVar(expires, "expires-in", 0, "how long it lives, like 720h (0: for ever)")
	case "revoke":
		fs.StringVar(id, "id", "", "`key_…` to revoke")
	}
	where := addBackendFlags(fs)
	where.make = verb == "create"
	if err := parse(fs, args); err != nil {
		return err
	}
	if *account == "" {
		return errors.New("say which account: -account NAME")
	}
	b, err := where.open(ctx, p)
	if err != nil {
		return err
	}
	defer b.end(p)
	switch verb {
	case "create":
		return createKey(ctx, p, b.store, *account, *name, *scopes, *expires, *asJSON)
	case "list":
		return listKeys(ctx, p, b.store, *account, *asJSON)
	default:
		return revokeKey(ctx, p, b.store, *account, *id, *asJSON)
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
		return json.NewEncoder(p.out).Encode(map[string]string{"account": acct.ID, "id": key.ID, "api_key": text.Reveal()})
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
			if err := json.NewEncoder(p.out).Encode(map[string]any{
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
		return errors.New("say which key: -id key_…; hookferry keys list shows them")
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
		return json.NewEncoder(p.out).Encode(map[string]string{"id": key.ID, "revoked_at": relay.FormatTime(key.RevokedAt)})
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
		if !slices.Contains(relay.Scopes(), scope) {
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
