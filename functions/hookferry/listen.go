package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func listenCommand(p program) *cobra.Command {
	c := verb("listen", "receive deliveries here, show them, and send them on", `Receive deliveries on this machine, show each one and whether its signature is
right, and send it on or answer as told.

With hookferry dev it creates an endpoint for its own address, and deletes it when
it stops, however it stops. A relay elsewhere cannot reach this machine: of such a
one it follows the events, and shows and sends on each as if it had been delivered,
signed with the secret in HOOKFERRY_SECRET, if there is one. With that secret and no
API key it only listens, for an endpoint that exists already.`,
		"hookferry listen -data .hookferry",
		"hookferry listen -data .hookferry -forward http://localhost:3000/hook",
		"hookferry listen -data .hookferry -respond 500,500,200 -delay 300ms",
		"hookferry listen -profile prod -types 'order.*' -forward http://localhost:3000/hook")
	fs := c.Flags()
	var o listenOptions
	o.addr = fs.String("addr", "127.0.0.1:0", "loopback `address` to listen on; port 0: any free one")
	o.secret = addSecretFlag(fs, "secret", "HOOKFERRY_SECRET", "the signing secret of an endpoint that exists already")
	o.types = fs.String("types", "*", "event `types` that are wanted, separated by commas")
	o.format = fs.String("format", "rivya", "`format` of the endpoint it creates: rivya, sivi or verbatim")
	o.prefix = fs.String("prefix", "Rivya", "header `prefix` of the deliveries")
	o.forward = fs.String("forward", "", "send each delivery on to this `URL`, and answer what it answers")
	o.respond = fs.String("respond", "", "answer with these `STATUSES` in turn, the last for all that follow: 500,500,200")
	o.status = fs.Int("status", 200, "answer with this `STATUS`")
	o.delay = fs.Duration("delay", 0, "wait so long before each answer")
	o.json = fs.Bool("json", false, "print JSON, an object a line, for programs")
	o.count = fs.Int("n", 0, "stop after this many deliveries (0: never)")
	o.client = addClientFlags(fs)
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runListen(cmd.Context(), p, o) }
	return c
}

// listenOptions are the flags of listen.
type listenOptions struct {
	addr, types, format, prefix, forward, respond *string
	status, count                                 *int
	delay                                         *time.Duration
	json                                          *bool
	secret                                        secretFlag
	client                                        clientFlags
}

// runListen receives deliveries on a loopback address, or follows the events of a
// relay elsewhere, until ctx ends.
func runListen(ctx context.Context, p program, o listenOptions) error {
	l, err := newListener(p, o)
	if err != nil {
		return err
	}
	secret, err := o.secret.read(p)
	if err != nil {
		return err
	}
	api, apiErr := o.client.client(p)
	if apiErr == nil && !isLoopbackURL(api.Base()) {
		return l.followRelay(ctx, p, api, o, secret)
	}
	ln, err := listenLoopback(ctx, *o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	at := "http://" + ln.Addr().String() + "/"
	if secret != "" {
		l.secrets = []relay.Secret{secret}
	} else {
		if apiErr != nil {
			return apiErr
		}
		sub, err := subscribe(ctx, p, api, at, o)
		if err != nil {
			return err
		}
		defer sub.end(ctx, p)
		l.secrets = []relay.Secret{sub.secret}
	}
	fmt.Fprintf(p.err, "listening on %s, Ctrl-C to stop\n", at)
	return l.serve(ctx, ln)
}

// serve takes deliveries until ctx ends or enough have come.
func (l *listener) serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case <-ctx.Done():
	case <-l.done:
	case err := <-failed:
		return fmt.Errorf("listen on %s: %w", ln.Addr(), err)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return srv.Close()
}

// listenLoopback listens on addr if that is an address of this machine alone.
func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, usagef("-addr %q: want HOST:PORT, like 127.0.0.1:9000", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usagef("-addr %q: want a loopback address, like 127.0.0.1:9000", addr)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another -addr", err)
	}
	return ln, nil
}

func isLoopbackURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// newListener reads what to do with each delivery.
func newListener(p program, o listenOptions) (*listener, error) {
	l := &listener{
		view:   newView(p, viewFlags{json: o.json}),
		prefix: *o.prefix, delay: *o.delay, stopAfter: *o.count, done: make(chan struct{}),
	}
	if *o.forward != "" && *o.respond != "" {
		return nil, usagef("-forward answers what the receiver answers, -respond as told: give one of them")
	}
	statuses := *o.respond
	if statuses == "" {
		statuses = strconv.Itoa(*o.status)
	}
	for _, text := range commas(statuses) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 200 || n > 599 {
			return nil, usagef("-status and -respond: %q is not a final HTTP status, 200 to 599; several with commas, like 500,500,200", text)
		}
		l.respond = append(l.respond, n)
	}
	if len(l.respond) == 0 {
		return nil, usagef("-respond: want HTTP statuses with commas, like 500,500,200")
	}
	if l.delay < 0 || l.delay > time.Minute {
		return nil, usagef("-delay: want 0s to 1m, like 300ms")
	}
	if *o.forward != "" {
		to, err := newForwarder(*o.forward)
		if err != nil {
			return nil, err
		}
		l.forward = to
	}
	return l, nil
}

// followRelay shows and sends on each event of a relay that cannot reach this
// machine.
func (l *listener) followRelay(ctx context.Context, p program, api *client.Client, o listenOptions, secret relay.Secret) error {
	signed := "unsigned: there is no HOOKFERRY_SECRET"
	if secret != "" {
		l.secrets, signed = []relay.Secret{secret}, "signed with the given secret"
	}
	fmt.Fprintf(p.err, "following the events of %s; what is sent on is %s; Ctrl-C to stop\n", printable(api.Base()), signed)
	filter := client.EventFilter{Type: *o.types}
	if *o.types == "*" {
		filter.Type = ""
	}
	seen := map[string]bool{}
	trouble := func(err error) { fmt.Fprintln(p.err, "hookferry:", printable(err.Error())) }
	return follow(ctx, api, filter, trouble, func(e client.Event, _ json.RawMessage) (bool, error) {
		source := ""
		if e.SourceID != nil {
			source = *e.SourceID
		}
		if key := e.ID + " " + source; seen[key] {
			return true, nil // its status has changed
		} else if seen[key] = true; len(seen) > 100_000 {
			clear(seen)
		}
		full, _, err := api.Event(ctx, e.ID, source)
		if err != nil {
			trouble(err)
			return ctx.Err() == nil, nil
		}
		r, err := l.asDelivered(full, secret)
		if err != nil {
			return false, err
		}
		return !l.take(ctx, r, nil), nil
	})
}

// asDelivered makes an event into the delivery that an endpoint here would get.
func (l *listener) asDelivered(e client.EventDetail, secret relay.Secret) (*received, error) {
	now := time.Now()
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(l.prefix+"-Webhook-Id", e.ID)
	h.Set(l.prefix+"-Webhook-Attempt", "1")
	if e.SourceID != nil {
		h.Set(l.prefix+"-Webhook-Source-Id", *e.SourceID)
	}
	if secret != "" {
		sum, err := signature.SignRivya(now.Unix(), e.Payload, secret)
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		h.Set(l.prefix+"-Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
		h.Set(l.prefix+"-Webhook-Signature", sum)
	}
	path := "/"
	if l.forward != nil {
		path = l.forward.path()
	}
	return &received{at: now, method: http.MethodPost, path: path, header: h, body: e.Payload, unsigned: secret == "", typ: e.Type}, nil
}

// eventTypes are those of -types.
func (o listenOptions) eventTypes() []string { return strings.Split(*o.types, ",") }
