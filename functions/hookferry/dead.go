package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"hookferry/shared/relay"
)

// deadCommand works on the dead-letter queues of both lanes.
func deadCommand(p program) *cobra.Command {
	const where = "\n\nWorks on a data folder, also while dev or serve runs on it, or on deployed queues."
	list := verb("list", "list the messages that could not be processed", "List the dead letters: messages that could not be processed."+where,
		"hookferry dead list -data DIR")
	show := verb("show", "show one whole, without its event's payload", "Show one dead letter whole, without its event's payload."+where,
		"hookferry dead show -data DIR -id ID")
	redrive := verb("redrive", "put them back on their queue", "Put dead letters back on their queue. Do this once the cause is mended."+where,
		"hookferry dead redrive -data DIR -all")
	drop := verb("drop", "remove them for good", "Remove dead letters for good. What they stood for is not delivered."+where,
		"hookferry dead drop -data DIR -id ID")
	for _, c := range []*cobra.Command{list, show, redrive, drop} {
		name, flags := c.Name(), c.Flags()
		id, all, limit := new(string), new(bool), new(int)
		if name == "list" {
			limit = flags.Int("limit", 100, "show at most this many of each queue")
		} else {
			id = flags.String("id", "", "`ID` of the dead letter, as list shows it")
		}
		if name == "redrive" || name == "drop" {
			all = flags.Bool("all", false, "every dead letter")
		}
		where := addBackendFlags(flags)
		c.RunE = func(cmd *cobra.Command, _ []string) error {
			if name != "list" && (*id == "") == !*all {
				return usagef("say which: -id ID%s; hookferry dead list shows them", map[bool]string{true: "", false: ", or -all"}[name == "show"])
			}
			b, err := where.open(cmd.Context(), p)
			if err != nil {
				return err
			}
			defer b.end(p)
			return runDead(cmd.Context(), p, b, name, *id, *limit)
		}
	}
	return family("dead", "look at dead letters, put them back or drop them", "Look at dead letters, put them back or drop them."+where, list, show, redrive, drop)
}

// runDead does one of list, show, redrive and drop, on the dead letter id, or on
// all if that is empty.
func runDead(ctx context.Context, p program, b backend, verb, id string, limit int) error {
	lanes := []namedLane{{"events", b.events}, {"retries", b.retries}}
	if verb == "list" {
		return listDead(ctx, p, lanes, limit)
	}
	done := 0
	for _, l := range lanes {
		n, err := eachDead(ctx, l.lane, id, func(d relay.DeadLetter) (bool, error) {
			switch verb {
			case "show":
				return false, showDead(p, l.name, d)
			case "redrive":
				return true, l.lane.Redrive(ctx, d)
			default:
				return true, l.lane.Drop(ctx, d)
			}
		})
		done += n
		if err != nil {
			return err
		}
	}
	if id != "" && done == 0 {
		return fmt.Errorf("there is no dead letter %s", id)
	}
	if verb != "show" {
		fmt.Fprintf(p.out, "%d dead letters %s\n", done, map[string]string{"redrive": "put back", "drop": "dropped"}[verb])
	}
	return nil
}

type namedLane struct {
	name string
	lane lane
}

// eachDead calls do for the dead letter id, or for every one there is now if id
// is empty, and returns for how many it returned true: those are gone, the others
// are shown to the next reader. It reads as many as the queue counted at the
// start, so that a message that dies again while it works ends it.
func eachDead(ctx context.Context, l lane, id string, do func(relay.DeadLetter) (gone bool, err error)) (done int, err error) {
	left, err := l.DeadCount(ctx)
	if err != nil {
		return 0, err
	}
	var kept []relay.DeadLetter
	defer func() { err = errors.Join(err, l.Release(context.WithoutCancel(ctx), kept...)) }()
	after := ""
	for left > 0 {
		dead, err := l.Dead(ctx, after, min(left, 1000))
		if err != nil || len(dead) == 0 {
			return done, err
		}
		left -= len(dead)
		after = dead[len(dead)-1].ID
		for i, d := range dead {
			gone := false
			if id == "" || d.ID == id {
				if gone, err = do(d); err != nil {
					kept = append(kept, dead[i:]...)
					return done, fmt.Errorf("dead letter %s: %w", d.ID, err)
				}
				done++
			}
			if !gone {
				kept = append(kept, d)
			}
		}
	}
	return done, nil
}

func listDead(ctx context.Context, p program, lanes []namedLane, limit int) error {
	if limit < 1 || limit > 1000 {
		return usagef("-limit: want 1 to 1000")
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	total := 0
	for _, l := range lanes {
		count, err := l.lane.DeadCount(ctx)
		if err != nil {
			return err
		}
		total += count
		dead, err := l.lane.Dead(ctx, "", limit)
		if err != nil {
			return err
		}
		for i, d := range dead {
			if i == 0 {
				fmt.Fprintln(table, "QUEUE\tID\tSINCE\tRECEIVES\tWHAT\tREASON")
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", l.name, d.ID, sinceText(d), d.Receives, whatText(d), reasonText(d))
		}
		if err := l.lane.Release(ctx, dead...); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%d dead letters\n", total)
	return nil
}

func sinceText(d relay.DeadLetter) string {
	if d.DeadAt.IsZero() {
		return "-"
	}
	return relay.FormatTime(d.DeadAt)
}

func reasonText(d relay.DeadLetter) string {
	if d.Reason == "" {
		return fmt.Sprintf("received more than %d times", relay.MaxReceives)
	}
	return d.Reason
}

func whatText(d relay.DeadLetter) string {
	m, err := relay.DecodeMessage(d.Body)
	if err != nil {
		return "not a message"
	}
	switch {
	case m.Event != nil:
		return fmt.Sprintf("%s %s", m.Kind, m.Event.ID)
	case m.Attempt != nil:
		return fmt.Sprintf("%s %s", m.Kind, m.Attempt.ID)
	case m.EndpointID != "":
		return fmt.Sprintf("%s %d of %s to %s", m.Kind, m.Number, m.Ref.ID, m.EndpointID)
	default:
		return string(m.Kind)
	}
}

// showDead prints a dead letter. A payload may hold what a customer would not
// want on an operator's screen: its size is shown.
func showDead(p program, queue string, d relay.DeadLetter) error {
	view := map[string]any{"queue": queue, "id": d.ID, "since": sinceText(d), "receives": d.Receives, "reason": reasonText(d)}
	var body map[string]any
	if err := json.Unmarshal(d.Body, &body); err != nil {
		view["body"] = fmt.Sprintf("%.200q", d.Body)
	} else {
		if ev, ok := body["ev"].(map[string]any); ok {
			ev["pay"] = fmt.Sprintf("%d characters", len(fmt.Sprint(ev["pay"])))
		}
		view["body"] = body
	}
	return printPretty(p.out, view)
}
