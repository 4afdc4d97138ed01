package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hookferry/events"
	"hookferry/shared/client"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func sendCommand(p program) *cobra.Command {
	return family("send", "send a sample call as a provider would", "Send a sample call to a source, as the provider would.",
		sendAs(p, relay.Rivya), sendAs(p, relay.Sivi))
}

func sendAs(p program, provider relay.Provider) *cobra.Command {
	c := verb(string(provider), "as "+string(provider)+" calls", `Send a sample call to a source, as the provider would.

Without -url it makes a source named "sample `+string(provider)+`", or takes the one that
it made before.`, "hookferry send "+string(provider)+" -data .hookferry")
	fs := c.Flags()
	o := sendOptions{provider: provider, typ: new(string), status: new(string)}
	o.url = fs.String("url", "", "ingest `URL` of a source that exists already")
	if provider == relay.Rivya {
		c.Example += "\nhookferry send rivya -data .hookferry -type generation.failed"
		o.secret = addSecretFlag(fs, "secret", "HOOKFERRY_SECRET", "the signing secret stored on that source")
		o.typ = fs.String("type", "generation.succeeded", "`TYPE` of the event; generation.failed, webhook.test, …")
		o.id = fs.String("id", "", "event `ID` (default: a fresh one)")
	} else {
		c.Example += "\nhookferry send sivi -data .hookferry -status failed"
		o.secret = addSecretFlag(fs, "secret", "HOOKFERRY_SECRET", "not needed: Sivi signs nothing")
		o.status = fs.String("status", "complete", "`STATUS` of the request; pending, failed, …")
		o.id = fs.String("id", "", "requestId, called `ID` here (default: a fresh one)")
	}
	o.file = fs.String("file", "", "send the body in this `FILE` instead of the sample, byte for byte")
	o.client = addClientFlags(fs)
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runSend(cmd.Context(), p, o) }
	return c
}

// sendOptions are the flags of send.
type sendOptions struct {
	provider                   relay.Provider
	url, typ, status, id, file *string
	secret                     secretFlag
	client                     clientFlags
}

// runSend sends one sample call to a source, as its provider would.
func runSend(ctx context.Context, p program, o sendOptions) error {
	secret, err := o.secret.read(p)
	if err != nil {
		return err
	}
	s := sample{provider: o.provider, url: *o.url, secret: secret}
	if s.url == "" {
		c, err := o.client.client(p)
		if err != nil {
			return err
		}
		if err := s.source(ctx, c); err != nil {
			return err
		}
	} else if s.provider == relay.Rivya && s.secret == "" {
		return usagef("-url needs -secret-file or HOOKFERRY_SECRET: the signing secret that is stored on the source")
	}
	now := time.Now()
	var body []byte
	switch {
	case *o.file != "":
		if body, err = readBounded(*o.file); err != nil {
			return err
		}
	case s.provider == relay.Rivya:
		if body, err = rivyaSample(*o.id, *o.typ, now); err != nil {
			return err
		}
	default:
		body = siviSample(*o.id, *o.status, now)
	}
	return s.send(ctx, p, body)
}

type sample struct {
	provider relay.Provider
	url      string
	secret   relay.Secret
}

// source finds or makes the sample source, with a fresh signing secret.
func (s *sample) source(ctx context.Context, api *client.Client) error {
	name := "sample " + string(s.provider)
	page, _, err := client.Collect(1000, func(n int, cursor string) (client.Page[client.Source], error) {
		return api.Sources(ctx, n, cursor)
	})
	if err != nil {
		return err
	}
	fields := client.Change{}
	if s.provider == relay.Rivya {
		s.secret = relay.NewSigningSecret()
		fields["signing_secret"] = s.secret.Reveal()
	}
	at := slices.IndexFunc(page.Items, func(have client.Source) bool { return have.Name == name && have.Provider == string(s.provider) })
	if at < 0 {
		fields["name"], fields["provider"] = name, string(s.provider)
		made, _, err := api.CreateSource(ctx, fields)
		s.url = made.IngestURL
		return err
	}
	s.url = page.Items[at].IngestURL
	if len(fields) > 0 {
		_, _, err = api.UpdateSource(ctx, page.Items[at].ID, fields)
	}
	return err
}

// send makes the call and prints the answer.
func (s *sample) send(ctx context.Context, p program, body []byte) error {
	said, err := s.call(ctx, body)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s %s\n", printable(said.status), printable(string(bytes.TrimSpace(said.body))))
	if said.code/100 != 2 {
		return fmt.Errorf("the call was refused with %d", said.code)
	}
	return nil
}

// An answer is what a provider's call was answered.
type answer struct {
	code   int
	status string
	body   []byte
}

// call makes the call as the provider would: for Rivya signed, with the headers
// that it sends.
func (s *sample) call(ctx context.Context, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", s.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, errors.New("-url is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	if s.provider == relay.Rivya {
		now := time.Now().Unix()
		signed, err := signature.SignRivya(now, body, s.secret)
		if err != nil {
			return answer{}, fmt.Errorf("sign the sample: %w", err)
		}
		req.Header.Set("Rivya-Webhook-Timestamp", strconv.FormatInt(now, 10))
		req.Header.Set("Rivya-Webhook-Signature", signed)
		req.Header.Set("Rivya-Webhook-Attempt", "1")
		var event struct{ ID string }
		if json.Unmarshal(body, &event) == nil && event.ID != "" {
			req.Header.Set("Rivya-Webhook-Id", event.ID)
		}
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		// The URL may hold a token: say which host, not which path.
		return answer{}, fmt.Errorf("no answer from %s; is it running?", req.URL.Host)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return answer{}, fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	return answer{resp.StatusCode, resp.Status, said}, nil
}

// rivyaSample returns the catalogue's sample of the type with an id and times of
// its own.
func rivyaSample(id, typ string, now time.Time) ([]byte, error) {
	if id == "" {
		id = relay.NewID(relay.EventPrefix, now)
	}
	known, ok := events.Lookup(typ)
	if !ok {
		var names []string
		for _, t := range events.Catalogue() {
			names = append(names, t.Name)
		}
		return nil, fmt.Errorf("-type %q: not in the catalogue; choose one of %s", typ, strings.Join(names, ", "))
	}
	var body struct{ Data json.RawMessage }
	if err := json.Unmarshal(known.Sample, &body); err != nil {
		return nil, fmt.Errorf("sample of %s: %w", typ, err)
	}
	return events.Body(id, typ, now, body.Data), nil
}

// siviSample returns a body of Sivi's shape (contract section 5).
func siviSample(request, status string, now time.Time) []byte {
	if request == "" {
		request = relay.NewID("", now)[:11] + relay.NewMID()[:4]
	}
	body := map[string]any{"queueWaitTime": 0, "status": status, "requestId": request}
	switch status {
	case "complete", "completed":
		body["designId"] = "00000000-0000-4000-8000-000000000000"
		body["link"] = "https://example.com/design/1"
		body["shareLink"] = "https://example.com/results/1"
		body["result"] = map[string]any{"variations": []any{map[string]any{
			"variantId": "v1", "variantImageUrl": "https://example.com/v1.jpg", "variantWidth": 1080,
			"variantHeight": 1080, "variantType": "GENERATED",
		}}}
	case "failed", "suspended":
		body["reason"] = "sample failure"
	}
	b, err := json.Marshal(map[string]any{"status": 200, "body": body})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}
