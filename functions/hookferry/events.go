package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hookferry/shared/client"
)

func eventsCommand(p program) *cobra.Command {
	return family("events", "list events, follow them, and see what became of one",
		"List events, follow them as they come, and see what became of one.", eventsList(p), eventsShow(p), eventsTail(p), eventsPublish(p))
}

// eventFlags are the filters of events.
type eventFlags struct {
	typ, status, source, subject, endpoint, since, until *string
}

func addEventFlags(fs *pflag.FlagSet) eventFlags {
	return eventFlags{
		typ:      fs.String("type", "", "only of this `TYPE`, like order.paid; several with commas"),
		status:   fs.String("status", "", "only with this `STATUS`: pending, delivered, failed, skipped, unmatched, rejected; several with commas"),
		source:   fs.String("source", "", "only of the source `src_…`"),
		subject:  fs.String("subject", "", "only about this `SUBJECT`, like a generation's id"),
		endpoint: fs.String("endpoint", "", "only those that the endpoint `whend_…` gets"),
		since:    fs.String("since", "", "only since this `TIME`, or so long ago, like 2h"),
		until:    fs.String("until", "", "only before this `TIME`"),
	}
}

func (f eventFlags) filter(now time.Time) (client.EventFilter, error) {
	since, err := parseWhen("since", *f.since, now)
	if err != nil {
		return client.EventFilter{}, err
	}
	until, err := parseWhen("until", *f.until, now)
	return client.EventFilter{
		Type: *f.typ, Status: *f.status, SourceID: *f.source, Subject: *f.subject, EndpointID: *f.endpoint, Since: since, Until: until,
	}, err
}

func eventsList(p program) *cobra.Command {
	c := verb("list", "list events, newest first", "List events, newest first.",
		"hookferry events list -data .hookferry",
		"hookferry events list -status failed -since 24h -limit 200",
		"hookferry events list -type generation.failed -watch")
	cf, vf, ef := addClientFlags(c.Flags()), addViewFlags(c.Flags(), true), addEventFlags(c.Flags())
	limit := addLimit(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		filter, err := ef.filter(time.Now())
		if err != nil {
			return err
		}
		return newView(p, vf).show(ctx, vf, func(v view) error {
			page, more, err := client.Collect(*limit, func(n int, cursor string) (client.Page[client.Event], error) {
				return api.Events(ctx, filter, n, cursor)
			})
			if err != nil {
				return err
			}
			return v.list(page.Raw, more, "events", *limit, eventTable(v, page.Items))
		})
	}
	return c
}

// addLimit adds the flag for how many items are listed: at least one.
func addLimit(fs *pflag.FlagSet) *int {
	n := limitValue(20)
	fs.Var(&n, "limit", "show at most `N`")
	return (*int)(&n)
}

// A limitValue is a number of items, from 1 to 10,000.
type limitValue int

// Set implements pflag.Value.
func (l *limitValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 10_000 {
		return errors.New("out of range")
	}
	*l = limitValue(n)
	return nil
}

// String implements pflag.Value.
func (l *limitValue) String() string { return strconv.Itoa(int(*l)) }

// Type implements pflag.Value.
func (l *limitValue) Type() string { return "number from 1 to 10000" }

// list prints a list as lines of JSON, or as a table and a word about what was
// left out.
func (v view) list(raw []json.RawMessage, more bool, what string, limit int, t table) error {
	if v.json {
		for _, item := range raw {
			if err := v.line(item); err != nil {
				return err
			}
		}
		return nil
	}
	if len(raw) == 0 {
		_, err := fmt.Fprintf(v.out, "There are no such %s.\n", what)
		return err
	}
	t.write(v.out, v.style, v.width)
	if more {
		fmt.Fprintf(v.out, "%s\n", v.style.dim(fmt.Sprintf("There are more; -limit %d shows as many again.", 2*limit)))
	}
	return nil
}

func eventTable(v view, events []client.Event) table {
	t := table{
		columns: []column{{"ID", false, 0}, {"TYPE", true, 0}, {"STATUS", false, 0}, {"CREATED", false, 0}, {"SUBJECT", true, 1}, {"BY", false, 2}, {"SOURCE", false, 3}},
		color: func(i int, text string) string {
			return map[bool]string{true: v.style.status(text), false: text}[i == 2]
		},
	}
	for _, e := range events {
		t.add(e.ID, e.Type, e.Status, v.when(&e.CreatedAt), deref(e.Subject), e.VerifiedBy, deref(e.SourceID))
	}
	return t
}

func eventsShow(p program) *cobra.Command {
	c := verb("show ID|SUBJECT", "draw what became of one event, step by step", `Draw what became of one event, step by step: how it came and was proven, what
matched, each attempt and its answer, and what is still to come.

It is named by its id, or by its subject, which is what it is about: the id of the
generation or of Sivi's request, or what was said when it was published. Of
several events about a subject the newest is shown, and the others are named.`,
		"hookferry events show evt_06h1ums0h0ghvpvf1ljho9d73c", "hookferry events show sbhMkIZKCPp -payload", "hookferry events show order-17 -watch")
	c.Args = argument("ID or SUBJECT", "evt_06h1ums0h0ghvpvf1ljho9d73c")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), true)
	source := c.Flags().String("source", "", "the source `src_…`, where several sent an event of that id")
	payload := c.Flags().Bool("payload", false, "show the body too")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		return newView(p, vf).show(cmd.Context(), vf, func(v view) error { return showEvent(cmd.Context(), v, api, args[0], *source, *payload) })
	}
	return c
}

func showEvent(ctx context.Context, v view, api *client.Client, name, source string, payload bool) error {
	ev, raw, others, err := findEvent(ctx, api, name, source)
	if err != nil {
		return err
	}
	if v.json {
		return v.line(raw)
	}
	story{view: v}.draw(ev)
	if payload {
		var pretty bytes.Buffer
		text := ev.Payload
		if harmless, err := harmlessJSON(ev.Payload); err == nil {
			text = harmless
		}
		if json.Indent(&pretty, text, "  ", "  ") == nil {
			fmt.Fprintf(v.out, "\n%s\n  %s\n", v.style.bold("Body"), pretty.String())
		}
	}
	if len(others) > 0 {
		fmt.Fprintf(v.out, "\n%s\n", v.style.bold("Earlier events of this subject"))
		t := eventTable(v, others)
		t.write(v.out, v.style, v.width)
	}
	return nil
}

// findEvent reads an event by its ID, or else the newest of a subject and what
// else there is of that.
func findEvent(ctx context.Context, api *client.Client, name, source string) (client.EventDetail, json.RawMessage, []client.Event, error) {
	ev, raw, err := api.Event(ctx, name, source)
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != 404 {
		return ev, raw, nil, err
	}
	page, serr := api.Events(ctx, client.EventFilter{Subject: name, SourceID: source}, 20, "")
	var unknown *client.Error
	older := errors.As(serr, &unknown) && unknown.Param == "subject" // a relay that knows of no subjects
	if serr != nil && !older {
		return ev, nil, nil, serr
	}
	if len(page.Items) == 0 {
		refused.Call = fmt.Sprintf("there is no event with the id or subject %q", name)
		refused.Message = "one that was just accepted is there within seconds"
		return ev, nil, nil, refused
	}
	newest := page.Items[0]
	from := source
	if newest.SourceID != nil {
		from = *newest.SourceID
	}
	ev, raw, err = api.Event(ctx, newest.ID, from)
	return ev, raw, page.Items[1:], err
}

func eventsPublish(p program) *cobra.Command {
	c := verb("publish TYPE", "publish an event of one's own", "Publish an event of one's own. Its data is a JSON value in a file or on standard input.",
		`hookferry events publish order.paid -subject order-17 -file order.json`)
	c.Args = argument("TYPE", "order.paid")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false)
	file := c.Flags().String("file", "", "`FILE` with the data, a JSON value; - is standard input (default: an empty object)")
	subject := c.Flags().String("subject", "", "what it is `ABOUT`, to find it by")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		data, err := readInput(p, *file)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			data = []byte("{}")
		}
		if !json.Valid(data) {
			return usagef("-file: want one JSON value, like {\"order\": 17}")
		}
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		fields := client.Change{"type": args[0], "data": json.RawMessage(data)}
		if *subject != "" {
			fields["subject"] = *subject
		}
		ev, raw, err := api.Publish(cmd.Context(), fields)
		if err != nil {
			return err
		}
		if v := newView(p, vf); v.json {
			return v.line(raw)
		}
		_, err = fmt.Fprintf(p.out, "%s is accepted; see it with: hookferry events show %[1]s\n", oneLine(ev.ID))
		return err
	}
	return c
}
