package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
)

func deliveriesCommand(p program) *cobra.Command {
	return family("deliveries", "list attempts of deliveries, and make one again",
		"List the attempts of deliveries, each one HTTP call, and deliver again.", deliveriesList(p), deliveriesRetry(p))
}

func deliveriesList(p program) *cobra.Command {
	c := verb("list", "list attempts, newest first", "List attempts, newest first: of one endpoint, or of all.",
		"hookferry deliveries list -data .hookferry",
		"hookferry deliveries list -endpoint whend_… -status failed -final",
		"hookferry deliveries list -event evt_… -json")
	fs := c.Flags()
	cf, vf := addClientFlags(fs), addViewFlags(fs, true)
	endpoint := fs.String("endpoint", "", "only to the endpoint `whend_…`")
	event := fs.String("event", "", "only of the event `evt_…`")
	typ := fs.String("type", "", "only of events of this `TYPE`")
	status := fs.String("status", "", "only with this `STATUS`: succeeded, failed, skipped")
	final := fs.Bool("final", false, "only those that no other of the same run follows")
	since := fs.String("since", "", "only since this `TIME`, or so long ago, like 2h")
	until := fs.String("until", "", "only before this `TIME`")
	limit := addLimit(fs)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		filter := client.AttemptFilter{Status: *status, EventID: *event, Type: *typ}
		if *final {
			filter.Final = "true"
		}
		var err error
		if filter.Since, err = parseWhen("since", *since, time.Now()); err != nil {
			return err
		}
		if filter.Until, err = parseWhen("until", *until, time.Now()); err != nil {
			return err
		}
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		return newView(p, vf).show(cmd.Context(), vf, func(v view) error {
			raw, attempts, more, err := attemptsOf(cmd.Context(), api, *endpoint, filter, *limit)
			if err != nil {
				return err
			}
			return v.list(raw, more, "attempts", *limit, attemptTable(v, attempts))
		})
	}
	return c
}

// mostEndpoints is to how many endpoints attempts are gathered from.
const mostEndpoints = 100

// attemptsOf reads the newest attempts of an endpoint, or of all of them.
func attemptsOf(ctx context.Context, api *client.Client, endpoint string, f client.AttemptFilter, limit int) (raw []json.RawMessage, attempts []client.Attempt, more bool, err error) {
	ids := []string{endpoint}
	if endpoint == "" {
		page, rest, err := client.Collect(mostEndpoints, func(n int, cursor string) (client.Page[client.Endpoint], error) {
			return api.Endpoints(ctx, "", n, cursor)
		})
		if err != nil {
			return nil, nil, false, err
		}
		if rest {
			return nil, nil, false, usagef("there are more than %d endpoints: say which, with -endpoint whend_…; hookferry endpoints list shows them", mostEndpoints)
		}
		ids = nil
		for _, e := range page.Items {
			ids = append(ids, e.ID)
		}
	}
	type item struct {
		raw     json.RawMessage
		attempt client.Attempt
	}
	var all []item
	for _, id := range ids {
		page, rest, err := client.Collect(limit, func(n int, cursor string) (client.Page[client.Attempt], error) {
			return api.Attempts(ctx, id, f, n, cursor)
		})
		if err != nil {
			return nil, nil, false, err
		}
		more = more || rest
		for i, a := range page.Items {
			all = append(all, item{page.Raw[i], a})
		}
	}
	slices.SortStableFunc(all, func(a, b item) int { return b.attempt.CreatedAt.Compare(a.attempt.CreatedAt) })
	if len(all) > limit {
		all, more = all[:limit], true
	}
	for _, it := range all {
		raw, attempts = append(raw, it.raw), append(attempts, it.attempt)
	}
	return raw, attempts, more, nil
}

func attemptTable(v view, attempts []client.Attempt) table {
	t := table{
		columns: []column{
			{"EVENT", false, 0},
			{"TYPE", true, 2},
			{"STATUS", false, 0},
			{"HTTP", false, 0},
			{"ATTEMPT", false, 1},
			{"TOOK", false, 3},
			{"AT", false, 0},
			{"NEXT", false, 4},
			{"ANSWER", true, 5},
			{"ENDPOINT", false, 6},
			{"ID", false, 7},
		},
		color: func(i int, text string) string {
			return map[bool]string{true: v.style.status(text), false: text}[i == 2]
		},
	}
	for _, a := range attempts {
		t.add(a.EventID, a.EventType, a.Status, httpStatus(a), attemptName(a), short(time.Duration(a.DurationMS)*time.Millisecond),
			v.when(&a.CreatedAt), v.when(a.NextAttemptAt), answerText(a), a.EndpointID, a.ID)
	}
	return t
}

func deliveriesRetry(p program) *cobra.Command {
	c := verb("retry ATTEMPT", "deliver the event of an attempt again, now", `Deliver the event of an attempt again to its endpoint, now: a new run of up to
five attempts. hookferry events show names the attempts of an event.`,
		"hookferry deliveries retry att_… -endpoint whend_…")
	c.Args = argument("ATTEMPT", "att_… -endpoint whend_…")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false)
	endpoint := c.Flags().String("endpoint", "", "the endpoint `whend_…` of the attempt")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *endpoint == "" {
			return usagef("say which endpoint the attempt was made to: -endpoint whend_…")
		}
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		run, raw, err := api.Retry(cmd.Context(), *endpoint, args[0])
		if err != nil {
			return err
		}
		if v := newView(p, vf); v.json {
			return v.line(raw)
		}
		_, err = fmt.Fprintf(p.out, "run %d of %s to %s has begun; see it with: hookferry events show %[2]s\n", run.Run, oneLine(run.EventID), oneLine(run.EndpointID))
		return err
	}
	return c
}
