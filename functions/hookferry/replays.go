package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
	"hookferry/shared/relay"
)

func replaysCommand(p program) *cobra.Command {
	return family("replays", "deliver again what failed in a range of time", "Deliver again what failed or was skipped in a range of time, paced, and see how far it is.",
		replaysList(p), replaysShow(p), replaysCreate(p), replaysCancel(p))
}

func replaysList(p program) *cobra.Command {
	c := verb("list", "list replays, newest first", "List replays, newest first.", "hookferry replays list -data .hookferry", "hookferry replays list -watch")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), true)
	limit := addLimit(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		return newView(p, vf).show(cmd.Context(), vf, func(v view) error {
			page, more, err := client.Collect(*limit, func(n int, cursor string) (client.Page[client.Replay], error) {
				return api.Replays(cmd.Context(), n, cursor)
			})
			if err != nil {
				return err
			}
			t := table{
				columns: []column{{"ID", false, 0}, {"STATUS", false, 0}, {"STARTED", false, 0}, {"SUCCEEDED", false, 0}, {"FAILED", false, 0}, {"SKIPPED", false, 2}, {"OPEN", false, 0}, {"CREATED", false, 1}, {"ENDPOINT", false, 3}},
				color: func(i int, text string) string {
					return map[bool]string{true: v.style.status(text), false: text}[i == 1]
				},
			}
			for _, r := range page.Items {
				t.add(r.ID, r.Status, fmt.Sprint(r.Started), fmt.Sprint(r.Succeeded), fmt.Sprint(r.Failed), fmt.Sprint(r.Skipped), fmt.Sprint(r.Open), v.when(&r.CreatedAt), r.EndpointID)
			}
			return v.list(page.Raw, more, "replays", *limit, t)
		})
	}
	return c
}

// replay shows one replay.
func (v view) replay(r client.Replay, raw json.RawMessage) error {
	if v.json {
		return v.line(raw)
	}
	fmt.Fprintf(v.out, "%s  to %s  %s\n", v.style.bold(oneLine(r.ID)), oneLine(r.EndpointID), v.style.status(oneLine(r.Status)))
	s := story{v}
	s.field("range", v.when(&r.Since)+" to "+v.when(r.Until))
	s.field("which", fmt.Sprintf("%s, at most %d a second", r.Selection, r.MaxPerSecond))
	s.field("so far", fmt.Sprintf("%d started: %d succeeded, %d failed, %d skipped, %d open", r.Started, r.Succeeded, r.Failed, r.Skipped, r.Open))
	s.field("created", v.when(&r.CreatedAt))
	s.field("finished", v.when(r.FinishedAt))
	return nil
}

// onReplay gives a command one argument, a replay's ID.
func onReplay(p program, c *cobra.Command, watch bool, do func(ctx context.Context, api *client.Client, id string) (client.Replay, json.RawMessage, error)) *cobra.Command {
	c.Args = argument("ID", "rpl_06h1ums0h0ghvpvf1ljho9d73c")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), watch)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		return newView(p, vf).show(cmd.Context(), vf, func(v view) error {
			r, raw, err := do(cmd.Context(), api, args[0])
			if err != nil {
				return err
			}
			return v.replay(r, raw)
		})
	}
	return c
}

func replaysShow(p program) *cobra.Command {
	c := verb("show ID", "show one replay and how far it is", "Show one replay and how far it is.", "hookferry replays show ID", "hookferry replays show ID -watch")
	return onReplay(p, c, true, func(ctx context.Context, api *client.Client, id string) (client.Replay, json.RawMessage, error) {
		return api.Replay(ctx, id)
	})
}

func replaysCancel(p program) *cobra.Command {
	c := verb("cancel ID", "cancel a replay", "Cancel a replay. What it has started and not yet sent ends as skipped.", "hookferry replays cancel ID")
	return onReplay(p, c, false, func(ctx context.Context, api *client.Client, id string) (client.Replay, json.RawMessage, error) {
		return api.CancelReplay(ctx, id)
	})
}

func replaysCreate(p program) *cobra.Command {
	c := verb("create", "start a replay, or count what it would deliver", `Deliver again to one endpoint what failed or was skipped in a range of time, or with
-dry-run only count it.`,
		"hookferry replays create -endpoint whend_… -since 24h -dry-run",
		"hookferry replays create -endpoint whend_… -since 24h -until 1h -max-per-second 20")
	fs := c.Flags()
	cf, vf := addClientFlags(fs), addViewFlags(fs, false)
	endpoint := fs.String("endpoint", "", "the endpoint `whend_…`; required")
	since := fs.String("since", "", "since this `TIME`, or so long ago, like 24h; required")
	until := fs.String("until", "", "before this `TIME` (default: now)")
	status := fs.String("status", "", "which deliveries: failed, skipped, open or all (default failed and skipped)")
	pace := fs.Int("max-per-second", 0, "at most so many a second, 1 to 100 (default 10)")
	dry := fs.Bool("dry-run", false, "only count")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if *endpoint == "" || *since == "" {
			return usagef("say what to deliver again: -endpoint whend_… -since TIME")
		}
		fields := client.Change{}
		for name, text := range map[string]string{"since": *since, "until": *until} {
			t, err := parseWhen(name, text, time.Now())
			if err != nil {
				return err
			}
			if !t.IsZero() {
				fields[name] = relay.FormatTime(t)
			}
		}
		if *status != "" {
			fields["status"] = *status
		}
		if *pace != 0 {
			fields["max_per_second"] = *pace
		}
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		v := newView(p, vf)
		if !*dry {
			r, raw, err := api.CreateReplay(cmd.Context(), *endpoint, fields)
			if err != nil {
				return err
			}
			return v.replay(r, raw)
		}
		count, raw, err := api.DryRunReplay(cmd.Context(), *endpoint, fields)
		if err != nil {
			return err
		}
		if v.json {
			return v.line(raw)
		}
		about := map[bool]string{true: "", false: "at least "}[count.Exact]
		_, err = fmt.Fprintf(p.out, "it would deliver %s%s\n", about, plural(count.Count, "event"))
		return err
	}
	return c
}
