package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"hookferry/shared/relay"
)

// accountsCommand works straight on the store, as keys does: an account is one
// customer, and whoever runs the relay makes them.
func accountsCommand(p program) *cobra.Command {
	const where = "\n\nWorks on a data folder, also while dev or serve runs on it, or on a deployed table."
	create := verb("create", "make an account", `Make an account, for one customer: nothing of it is seen by another. An account of
that name that is there already is shown. hookferry keys create makes its first key.`+where, "hookferry accounts create -data DIR -account acme")
	onAccount(p, create, true, func(ctx context.Context, store relay.Store, name string, asJSON bool) error {
		a, err := ensureAccount(ctx, store, name)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(p.out, accountJSON(a))
		}
		_, err = fmt.Fprintf(p.out, "%s  %s, since %s\n", a.ID, oneLine(a.Name), relay.FormatTime(a.CreatedAt))
		return err
	})
	list := verb("list", "list accounts", "List accounts."+where, "hookferry accounts list -data DIR")
	backend, vf := addBackendFlags(list.Flags()), addViewFlags(list.Flags(), false)
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := backend.open(cmd.Context(), p)
		if err != nil {
			return err
		}
		defer b.end(p)
		accounts, err := everyPage(func(page relay.Page) ([]relay.Account, string, error) { return b.store.Accounts(cmd.Context(), page) })
		if err != nil {
			return err
		}
		v := newView(p, vf)
		t := table{columns: []column{{"ID", false, 0}, {"NAME", true, 0}, {"CREATED", false, 1}}}
		var raw []json.RawMessage
		for _, a := range accounts {
			t.add(a.ID, a.Name, v.when(&a.CreatedAt))
			line, err := json.Marshal(accountJSON(a))
			if err != nil {
				return err
			}
			raw = append(raw, line)
		}
		return v.list(raw, false, "accounts", 0, t)
	}
	return family("accounts", "make and list accounts, one for each customer", "Make and list accounts, one for each customer."+where, create, list)
}

func accountJSON(a relay.Account) map[string]any {
	return map[string]any{"id": a.ID, "object": "account", "name": a.Name, "created_at": relay.FormatTime(a.CreatedAt)}
}
