package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
)

const (
	// tailEvery is how often new events are asked for.
	tailEvery = time.Second
	// tailPage is how many of the newest events are looked at each time, and
	// tailPages how many pages of them at most, after a burst.
	tailPage, tailPages = 100, 20
	// tailMemory is how long an event is remembered. Events are listed after their
	// first attempts, so one can appear behind others that were made later.
	tailMemory = 10 * time.Minute
)

func eventsTail(p program) *cobra.Command {
	c := verb("tail", "follow events as they come and as they end", `Follow events as they come: a line for each when it is first listed, and one more
when its status changes. It goes on through failures of the network.`,
		"hookferry events tail -data .hookferry", "hookferry events tail -status failed,rejected -json")
	cf, vf, ef := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false), addEventFlags(c.Flags())
	count := c.Flags().Int("n", 0, "stop after so many lines (0: never)")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		filter, err := ef.filter(time.Now())
		if err != nil {
			return err
		}
		v, left := newView(p, vf), *count
		return follow(cmd.Context(), api, filter, func(err error) { fmt.Fprintln(p.err, "hookferry:", printable(err.Error())) },
			func(e client.Event, raw json.RawMessage) (bool, error) {
				left--
				return left != 0, v.eventLine(e, raw)
			})
	}
	return c
}

// eventLine prints an event on one line.
func (v view) eventLine(e client.Event, raw json.RawMessage) error {
	if v.json {
		return v.line(raw)
	}
	about := ""
	if e.Subject != nil {
		about = "  " + oneLine(*e.Subject)
	}
	_, err := fmt.Fprintf(v.out, "%s  %s  %s  %s%s\n", v.style.dim(e.CreatedAt.Local().Format("15:04:05.000")), oneLine(e.ID),
		v.style.status(oneLine(e.Status))+strings.Repeat(" ", max(0, 9-len(e.Status))), oneLine(e.Type), about)
	return err
}

// follow calls each with every event that is listed from now on, or that f's Since
// names, the oldest first, and again when its status has changed, until each says that it was the last or
// ctx ends. A look that fails is told to trouble once, and tried again.
func follow(ctx context.Context, api *client.Client, f client.EventFilter, trouble func(error), each func(client.Event, json.RawMessage) (more bool, err error)) error {
	known := map[string]seenEvent{}
	failing := false
	for first := true; ; {
		fresh, err := newest(ctx, api, f, known, first)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil && !failing:
			trouble(err)
		}
		failing = err != nil
		if err == nil && (!first || !f.Since.IsZero()) {
			for _, item := range slices.Backward(fresh) {
				if more, err := each(item.event, item.raw); err != nil || !more {
					return err
				}
			}
		}
		first = false
		for id, s := range known {
			if time.Since(s.at) > tailMemory {
				delete(known, id)
			}
		}
		if _ = pause(ctx, tailEvery); ctx.Err() != nil {
			return nil
		}
	}
}

type seenEvent struct {
	status string
	at     time.Time
}

type freshEvent struct {
	event client.Event
	raw   json.RawMessage
}

// newest returns the events that are not known, or not with this status, and makes
// them known. It reads page after page until one holds nothing new.
func newest(ctx context.Context, api *client.Client, f client.EventFilter, known map[string]seenEvent, first bool) (fresh []freshEvent, err error) {
	cursor := ""
	for range tailPages {
		page, err := api.Events(ctx, f, tailPage, cursor)
		if err != nil {
			return fresh, err
		}
		before := len(fresh)
		for i, e := range page.Items {
			key := e.ID + " " + deref(e.SourceID)
			s, ok := known[key]
			if ok && s.status == e.Status {
				known[key] = seenEvent{s.status, time.Now()}
				continue
			}
			if !ok && !first && len(known) > 0 && time.Since(e.CreatedAt) > tailMemory {
				continue // old, and forgotten
			}
			known[key] = seenEvent{e.Status, time.Now()}
			fresh = append(fresh, freshEvent{e, page.Raw[i]})
		}
		if cursor = page.Next; cursor == "" || first || len(fresh) == before {
			break
		}
	}
	return fresh, nil
}
