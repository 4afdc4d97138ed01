package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hookferry/shared/client"
)

func endpointsCommand(p program) *cobra.Command {
	return family("endpoints", "list, make, change, test and delete endpoints",
		"List, make, change, test and delete endpoints, which receive deliveries.",
		endpointsList(p), endpointsShow(p), endpointsCreate(p), endpointsUpdate(p), endpointsTest(p), endpointsRotate(p), endpointsDelete(p))
}

func endpointsList(p program) *cobra.Command {
	c := verb("list", "list endpoints, newest first", "List endpoints, newest first.",
		"hookferry endpoints list -data .hookferry", "hookferry endpoints list -watch")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), true)
	status := c.Flags().String("status", "", "only with this `STATUS`: active, disabled or deleted; several with commas")
	limit := addLimit(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		return newView(p, vf).show(cmd.Context(), vf, func(v view) error {
			page, more, err := client.Collect(*limit, func(n int, cursor string) (client.Page[client.Endpoint], error) {
				return api.Endpoints(cmd.Context(), *status, n, cursor)
			})
			if err != nil {
				return err
			}
			t := table{
				columns: []column{{"ID", false, 0}, {"NAME", true, 2}, {"STATUS", false, 0}, {"HEALTH", false, 0}, {"FAILURES", false, 3}, {"URL", true, 1}, {"TYPES", true, 4}},
				color: func(i int, text string) string {
					return map[bool]string{true: v.style.status(text), false: text}[i == 2 || i == 3]
				},
			}
			for _, e := range page.Items {
				t.add(e.ID, e.Name, endpointStatus(e), e.Health, fmt.Sprint(e.FailureCount), e.URL, strings.Join(e.EventTypes, ","))
			}
			return v.list(page.Raw, more, "endpoints", *limit, t)
		})
	}
	return c
}

func endpointStatus(e client.Endpoint) string {
	if e.RevokedAt != nil {
		return "deleted"
	}
	return e.Status
}

// onEndpoint gives a command one argument, an endpoint's ID, and does what it does
// with it. What comes back is shown as one endpoint.
func onEndpoint(p program, c *cobra.Command, do func(ctx context.Context, api *client.Client, id string) (client.Endpoint, json.RawMessage, error)) *cobra.Command {
	c.Args = argument("ID", "whend_06h1ums0h0ghvpvf1ljho9d73c")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		e, raw, err := do(cmd.Context(), api, args[0])
		if err != nil {
			return err
		}
		return newView(p, vf).endpoint(e, raw)
	}
	return c
}

// endpoint shows one endpoint, and its secret where the answer has it.
func (v view) endpoint(e client.Endpoint, raw json.RawMessage) error {
	if v.json {
		return v.line(raw)
	}
	fmt.Fprintf(v.out, "%s  %s  %s\n", v.style.bold(oneLine(e.ID)), oneLine(e.Name), v.style.status(oneLine(endpointStatus(e))))
	s := story{v}
	s.field("url", e.URL)
	s.field("types", strings.Join(e.EventTypes, ", "))
	s.field("format", e.Format+", signed "+strings.Join(e.Signatures, " and "))
	if len(e.SourceIDs) > 0 {
		s.field("sources", strings.Join(e.SourceIDs, ", "))
	}
	if len(e.Filter) > 0 && string(e.Filter) != "null" {
		s.field("filter", string(e.Filter))
	}
	for name, n := range map[string]*int{"a second": e.MaxPerSecond, "at once": e.MaxInFlight} {
		if n != nil {
			s.field("at most", fmt.Sprintf("%d %s", *n, name))
		}
	}
	health := e.Health
	if e.FailureCount > 0 {
		health += fmt.Sprintf(", %d failures in a row", e.FailureCount)
	}
	if e.DisabledReason != nil {
		health += ", disabled: " + *e.DisabledReason
	}
	s.field("health", health)
	s.field("succeeded", v.when(e.LastSuccessAt))
	s.field("failed", v.when(e.LastFailureAt))
	if e.SigningSecret != "" {
		s.field("secret", e.SigningSecret)
		fmt.Fprintln(v.out, "\nThe secret is shown this once; keep it safe.")
		return nil
	}
	s.field("secret", e.SecretPreview)
	return nil
}

func endpointsShow(p program) *cobra.Command {
	c := verb("show ID", "show one endpoint", "Show one endpoint.", "hookferry endpoints show whend_…")
	return onEndpoint(p, c, func(ctx context.Context, api *client.Client, id string) (client.Endpoint, json.RawMessage, error) {
		return api.Endpoint(ctx, id)
	})
}

// endpointFields are the flags that are fields of an endpoint.
func endpointFields(fs *pflag.FlagSet) func() (client.Change, error) {
	fs.String("name", "", "`NAME`, for people")
	fs.String("url", "", "`URL` to deliver to: https, and on the public internet but with dev")
	fs.String("types", "", "event `TYPES` that it wants, with commas, like order.paid; * for all")
	fs.String("format", "", "`FORMAT` of the bodies: rivya, sivi or verbatim")
	fs.String("signatures", "", "`HOW` deliveries are signed: rivya; rivya,standard")
	fs.String("sources", "", "only events of the sources `IDS`, with commas; all for all")
	fs.String("filter-file", "", "`FILE` with an event pattern that bodies must match; none to remove it")
	fs.Int("max-per-second", 0, "at most so many deliveries a second; 0 for no limit")
	fs.Int("max-in-flight", 0, "at most so many deliveries at once; 0 for no limit")
	return func() (client.Change, error) {
		fields := client.Change{}
		var err error
		fs.Visit(func(f *pflag.Flag) {
			switch value := f.Value.String(); f.Name {
			case "name", "url", "format":
				fields[f.Name] = value
			case "types":
				fields["event_types"] = commas(value)
			case "signatures":
				fields["signatures"] = commas(value)
			case "sources":
				fields["source_ids"] = commas(value)
				if value == "all" {
					fields["source_ids"] = []string{}
				}
			case "filter-file":
				fields["filter"] = nil
				if value != "none" {
					var raw []byte
					if raw, err = readBounded(value); err == nil && !json.Valid(raw) {
						err = usagef(`-filter-file: want a JSON pattern, like {"data": {"amount": [{"numeric": [">", 100]}]}}`)
					}
					fields["filter"] = json.RawMessage(raw)
				}
			case "max-per-second", "max-in-flight":
				name := strings.ReplaceAll(f.Name, "-", "_")
				if fields[name] = json.Number(value); value == "0" {
					fields[name] = nil
				}
			}
		})
		return fields, err
	}
}

func commas(text string) []string {
	list := []string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func endpointsCreate(p program) *cobra.Command {
	c := verb("create", "make an endpoint; its secret is shown this once", "Make an endpoint. Its signing secret is shown this once.",
		"hookferry endpoints create -name Production -url https://example.com/hook",
		"hookferry endpoints create -name Orders -url https://example.com/orders -types order.paid")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false)
	fields := endpointFields(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		body, err := fields()
		if err != nil {
			return err
		}
		if body["url"] == nil || body["name"] == nil {
			return usagef("say what to make: -name NAME -url https://…")
		}
		if body["event_types"] == nil {
			body["event_types"] = []string{"*"}
		}
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		e, raw, err := api.CreateEndpoint(cmd.Context(), body)
		if err != nil {
			return err
		}
		return newView(p, vf).endpoint(e, raw)
	}
	return c
}

func endpointsUpdate(p program) *cobra.Command {
	c := verb("update ID", "change an endpoint, disable it or activate it", "Change an endpoint: only what a flag names. It bites within 10 seconds.",
		"hookferry endpoints update whend_… -url https://example.com/new", "hookferry endpoints update whend_… -status disabled")
	fields := endpointFields(c.Flags())
	status := c.Flags().String("status", "", "active or disabled")
	return onEndpoint(p, c, func(ctx context.Context, api *client.Client, id string) (e client.Endpoint, raw json.RawMessage, err error) {
		body, err := fields()
		if err != nil {
			return e, nil, err
		}
		if *status != "" {
			body["status"] = *status
		}
		if len(body) == 0 {
			return e, nil, usagef("say what to change; hookferry endpoints update -h lists what can be")
		}
		return api.UpdateEndpoint(ctx, id, body)
	})
}

func endpointsTest(p program) *cobra.Command {
	c := verb("test ID", "send a test event through the real delivery path", "Send a webhook.test to one endpoint, through the real delivery path.", "hookferry endpoints test whend_…")
	c.Args = argument("ID", "whend_…")
	cf, vf := addClientFlags(c.Flags()), addViewFlags(c.Flags(), false)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := cf.client(p)
		if err != nil {
			return err
		}
		ev, raw, err := api.TestEndpoint(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if v := newView(p, vf); v.json {
			return v.line(raw)
		}
		_, err = fmt.Fprintf(p.out, "%s is on its way; see it with: hookferry events show %[1]s\n", oneLine(ev.ID))
		return err
	}
	return c
}

func endpointsRotate(p program) *cobra.Command {
	c := verb("rotate-secret ID", "give an endpoint a new secret, shown this once", `Give an endpoint a new signing secret, which is shown this once. The old one signs
too for the overlap, so that the receiver can be told meanwhile.`, "hookferry endpoints rotate-secret whend_… -overlap 24h")
	overlap := c.Flags().Duration("overlap", 24*time.Hour, "how long the old secret signs too, 0s to 168h")
	return onEndpoint(p, c, func(ctx context.Context, api *client.Client, id string) (client.Endpoint, json.RawMessage, error) {
		return api.RotateSecret(ctx, id, *overlap)
	})
}

func endpointsDelete(p program) *cobra.Command {
	c := verb("delete ID", "delete an endpoint; its history stays", "Delete an endpoint. It gets nothing any more; its history stays readable.", "hookferry endpoints delete whend_…")
	return onEndpoint(p, c, func(ctx context.Context, api *client.Client, id string) (client.Endpoint, json.RawMessage, error) {
		return api.DeleteEndpoint(ctx, id)
	})
}
