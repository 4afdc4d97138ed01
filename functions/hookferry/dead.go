package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"hookferry/shared/relay"
)

// runDead works on the dead-letter queues of both lanes.
func runDead(ctx context.Context, p program, args []string) error {
	verb, args, err := pick(p, "dead", args, "list", "show", "redrive", "drop")
	if err != nil {
		return err
	}
	about := map[string]string{
		"list":    "List the dead letters: messages that could not be processed.",
		"show":    "Show one dead letter whole, without its event's payload.",
		"redrive": "Put dead letters back on their queue. Do this once the cause is mended.",
		"drop":    "Remove dead letters for good. What they stood for is not delivered.",
	}
	fs := newFlags(p, "dead "+verb, about[verb]+"\n\nWorks on a data folder, also while dev or serve runs on it, or on deployed queues.")
	id := fs.String("id", "", "`ID` of the dead letter, as list shows it")
	all := fs.Bool("all", false, "redrive, drop: every dead letter")
	limit := fs.Int("limit", 100, "list: show at most this many of each queue")
	where := addBackendFlags(fs)
	if err := parse(fs, args); err != nil {
		return err
	}
	if verb != "list" && (*id == "") == !*all {
		return fmt.Errorf("say which: -id ID%s; hookferry dead list shows them", map[bool]string{true: "", false: ", or -all"}[verb == "show"])
	}
	if verb == "show" && *all {
		return errors.New("show takes -id ID; list shows all")
	}
	b, err := where.open(ctx, p)
	if err != nil {
		return err
	}
	defer b.end(p)
	lanes := []namedLane{{"events", b.events}, {"retries", b.retries}}
	if verb == "list" {
		return listDead(ctx, p, lanes, *limit)
	}
	done := 0
	for _, l := range lanes {
		n, err := eachDead(ctx, l.lane, *id, func(d relay.DeadLetter) (bool, error) {
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
	if *id != "" && done == 0 {
		return fmt.Errorf("there is no dead letter %s", *id)
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
		return errors.New("-limit: want 1 to 1000")
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
	enc := json.NewEncoder(p.out)
	enc.SetIndent("", "  ")
	return enc.Encode(view)
}
