package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
)

func sourcesCommand(p program) *cobra.Command {
	return family("sources", "list, make, change and delete sources", "List, make, change and delete sources: each is one provider account that calls the relay.",
		sourcesList(p), sourcesShow(p), sourcesCreate(p), sourcesUpdate(p), sourcesRotate(p), sourcesDelete(p))
}

func sourcesList(p program) *cobra.Command {
	c := verb("list", "list sources, newest first", "List sources, newest first. A token in an ingest URL is not shown here.",
		"hookferry sources list -data .hookferry")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), true)
	limit := addLimit(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		return newView(p, vf).show(cmd.Context(), vf, func(v view) error {
			page, more, err := client.Collect(*limit, func(n int, cursor string) (client.Page[client.Source], error) {
				return api.Sources(cmd.Context(), n, cursor)
			})
			if err != nil {
				return err
			}
			t := table{
				columns: []column{{"ID", false, 0}, {"PROVIDER", false, 0}, {"NAME", true, 0}, {"STATUS", false, 0}, {"CREATED", false, 1}, {"INGEST URL", true, 2}},
				color: func(i int, text string) string {
					return map[bool]string{true: v.style.status(text), false: text}[i == 3]
				},
			}
			for _, s := range page.Items {
				t.add(s.ID, s.Provider, s.Name, s.Status, v.when(&s.CreatedAt), withoutToken(s))
			}
			return v.list(page.Raw, more, "sources", *limit, t)
		})
	}
	return c
}

// withoutToken is a source's ingest URL with what is secret in it left out.
func withoutToken(s client.Source) string {
	before, _, found := strings.Cut(s.IngestURL, s.ID+"/")
	if !found {
		return s.IngestURL
	}
	return before + s.ID + "/…"
}

// onSource gives a command one argument, a source's ID, and does what it does with
// it. What comes back is shown as one source.
func onSource(p program, c *cobra.Command, do func(ctx context.Context, api *client.Client, id string) (client.Source, json.RawMessage, error)) *cobra.Command {
	c.Args = argument("ID", "src_06h1ums0h0ghvpvf1ljho9d73c")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		s, raw, err := do(cmd.Context(), api, args[0])
		if err != nil {
			return err
		}
		return newView(p, vf).source(s, raw)
	}
	return c
}

// source shows one source.
func (v view) source(s client.Source, raw json.RawMessage) error {
	if v.json {
		return v.line(raw)
	}
	fmt.Fprintf(v.out, "%s  %s  %s  %s\n", v.style.bold(oneLine(s.ID)), oneLine(s.Provider), oneLine(s.Name), v.style.status(oneLine(s.Status)))
	st := story{v}
	st.field("created", v.when(&s.CreatedAt))
	st.field("url", s.IngestURL)
	if withoutToken(s) != s.IngestURL {
		fmt.Fprintln(v.out, "\nThe end of the URL is a secret token: treat it like a password.")
	}
	return nil
}

func sourcesShow(p program) *cobra.Command {
	c := verb("show ID", "show one source and the URL that its provider calls", "Show one source, and the URL that its provider calls.", "hookferry sources show src_…")
	return onSource(p, c, func(ctx context.Context, api *client.Client, id string) (client.Source, json.RawMessage, error) {
		return api.Source(ctx, id)
	})
}

func sourcesCreate(p program) *cobra.Command {
	c := verb("create", "make a source", `Make a source. Its URL is what the provider calls. The secret that a provider
signs with stands in HOOKFERRY_SECRET or in a file; for Rivya it may come later.`,
		"hookferry sources create -provider rivya -name Rivya",
		"hookferry sources create -provider standard -name Replicate -secret-file replicate.key",
		"hookferry sources create -provider hmac -preset github -name GitHub -secret-file FILE")
	fs := c.Flags()
	cf, vf := addClientFlags(fs), addViewFlags(fs, false)
	provider := fs.String("provider", "", "`PROVIDER`: rivya, sivi, standard or hmac")
	name := fs.String("name", "", "`NAME`, for people")
	preset := fs.String("preset", "", "hmac: how a known `PROVIDER` signs: github, stripe, shopify, slack, …")
	recipe := fs.String("recipe-file", "", "hmac: `FILE` with a recipe, JSON")
	secret := addSecretFlag(fs, "secret", "HOOKFERRY_SECRET", "the secret that the provider signs with")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if *provider == "" || *name == "" {
			return usagef("say what to make: -provider rivya|sivi|standard|hmac -name NAME")
		}
		fields := client.Change{"provider": *provider, "name": *name}
		text, err := secret.read(p)
		if err != nil {
			return err
		}
		if text != "" {
			fields["signing_secret"] = text.Reveal()
		}
		if *preset != "" {
			fields["preset"] = *preset
		}
		if *recipe != "" {
			raw, err := readBounded(*recipe)
			if err != nil {
				return err
			}
			if !json.Valid(raw) {
				return usagef("-recipe-file: want a recipe, a JSON object")
			}
			fields["recipe"] = json.RawMessage(raw)
		}
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		s, raw, err := api.CreateSource(cmd.Context(), fields)
		if err != nil {
			return err
		}
		return newView(p, vf).source(s, raw)
	}
	return c
}

func sourcesUpdate(p program) *cobra.Command {
	c := verb("update ID", "change a source, disable it or activate it", "Change a source: only what is said. A secret stands in HOOKFERRY_SECRET or in a file.",
		"hookferry sources update src_… -secret-file rivya.key", "hookferry sources update src_… -status disabled")
	name := c.Flags().String("name", "", "`NAME`, for people")
	status := c.Flags().String("status", "", "active or disabled")
	secret := addSecretFlag(c.Flags(), "secret", "HOOKFERRY_SECRET", "the secret that the provider signs with")
	return onSource(p, c, func(ctx context.Context, api *client.Client, id string) (s client.Source, raw json.RawMessage, err error) {
		fields := client.Change{}
		text, err := secret.read(p)
		if err != nil {
			return s, nil, err
		}
		for field, value := range map[string]string{"name": *name, "status": *status, "signing_secret": text.Reveal()} {
			if value != "" {
				fields[field] = value
			}
		}
		if len(fields) == 0 {
			return s, nil, usagef("say what to change; hookferry sources update -h lists what can be")
		}
		return api.UpdateSource(ctx, id, fields)
	})
}

func sourcesRotate(p program) *cobra.Command {
	c := verb("rotate-token ID", "give a Sivi source a new URL", "Give a Sivi source a new URL. The old one works for the overlap.", "hookferry sources rotate-token src_… -overlap 1h")
	overlap := c.Flags().Duration("overlap", 24*time.Hour, "how long the old URL works too, 0s to 168h")
	return onSource(p, c, func(ctx context.Context, api *client.Client, id string) (client.Source, json.RawMessage, error) {
		return api.RotateToken(ctx, id, *overlap)
	})
}

func sourcesDelete(p program) *cobra.Command {
	c := verb("delete ID", "delete a source; its URL stops working", "Delete a source. Its URL stops working; its events stay.", "hookferry sources delete src_…")
	c.Args = argument("ID", "src_…")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		raw, err := api.DeleteSource(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if v := newView(p, vf); v.json {
			return v.line(raw)
		}
		_, err = fmt.Fprintf(p.out, "%s is deleted; its URL stops working within 10 seconds\n", oneLine(args[0]))
		return err
	}
	return c
}
