package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func listenCommand(p program) *cobra.Command {
	c := verb("listen", "receive deliveries, print each one and whether its signature is right", `Receive deliveries, print each one and whether its signature is right.

Without a secret it creates an endpoint for its own address (hookferry dev allows
that), and deletes it when it stops.`, "hookferry listen -data .hookferry")
	fs := c.Flags()
	var o listenOptions
	o.addr = fs.String("addr", "127.0.0.1:0", "loopback `address` to listen on; port 0: any free one")
	o.secret = addSecretFlag(fs, "secret", "HOOKFERRY_SECRET", "the signing secret of an endpoint that exists already")
	o.types = fs.String("types", "*", "event `types` of the endpoint it creates, separated by commas")
	o.format = fs.String("format", "rivya", "`format` of the endpoint it creates: rivya, sivi or verbatim")
	o.prefix = fs.String("prefix", "Rivya", "header `prefix` of the deliveries")
	o.status = fs.Int("status", 200, "HTTP `status` to answer with, to see retries")
	o.count = fs.Int("n", 0, "stop after this many deliveries (0: never)")
	o.client = addClientFlags(fs)
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runListen(cmd.Context(), p, o) }
	return c
}

// listenOptions are the flags of listen.
type listenOptions struct {
	addr, types, format, prefix *string
	status, count               *int
	secret                      secretFlag
	client                      clientFlags
}

// runListen receives deliveries on a loopback address and prints each. Without
// a secret it makes an endpoint for itself, so that nothing needs to be copied,
// and deletes it at the end.
func runListen(ctx context.Context, p program, o listenOptions) error {
	secret, err := o.secret.read(p)
	if err != nil {
		return err
	}
	if *o.status < 200 || *o.status > 599 {
		return usagef("-status: want a final HTTP status, 200 to 599")
	}
	ln, err := listenLoopback(ctx, *o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	url := "http://" + ln.Addr().String() + "/"

	l := &listener{out: p.out, prefix: *o.prefix, status: *o.status, stopAfter: *o.count, done: make(chan struct{})}
	if secret != "" {
		l.secrets = []relay.Secret{secret}
	} else {
		remove, err := l.subscribe(ctx, p, o.client, url, *o.format, strings.Split(*o.types, ","))
		if err != nil {
			return err
		}
		defer remove()
	}
	fmt.Fprintf(p.err, "listening on %s, Ctrl-C to stop\n", url)

	srv := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case <-ctx.Done():
	case <-l.done:
	case err := <-failed:
		return fmt.Errorf("listen on %s: %w", url, err)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return srv.Shutdown(stop)
}

// listenLoopback listens on addr if that is an address of this machine alone.
func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("-addr %q: want HOST:PORT, like 127.0.0.1:9000", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("-addr %q: want a loopback address, like 127.0.0.1:9000", addr)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another -addr", err)
	}
	return ln, nil
}

type listener struct {
	out       io.Writer
	prefix    string
	secrets   []relay.Secret
	status    int
	stopAfter int

	mu   sync.Mutex
	seen int
	done chan struct{}
}

// subscribe creates the endpoint and returns what deletes it.
func (l *listener) subscribe(ctx context.Context, p program, cf clientFlags, url, format string, types []string) (func(), error) {
	c, err := cf.client(p)
	if err != nil {
		return nil, err
	}
	ep, _, err := c.CreateEndpoint(ctx, client.Change{
		"name": "hookferry listen", "url": url, "event_types": types, "format": format,
		"signatures": []string{"rivya", "standard"},
	})
	if err != nil {
		return nil, fmt.Errorf("create an endpoint for %s: %w", url, err)
	}
	l.secrets = []relay.Secret{relay.Secret(ep.SigningSecret)}
	fmt.Fprintf(p.err, "created endpoint %s; deleted when this stops\n", ep.ID)
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, _, err := c.DeleteEndpoint(ctx, ep.ID); err != nil {
			fmt.Fprintln(p.err, "hookferry: the endpoint was not deleted:", err)
		}
	}, nil
}

// ServeHTTP prints one delivery and answers it.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*relay.MaxPayload))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	w.WriteHeader(l.status)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.print(r, body)
	if l.seen++; l.seen == l.stopAfter {
		close(l.done)
	}
}

func (l *listener) print(r *http.Request, body []byte) {
	head := func(name string) string { return r.Header.Get(l.prefix + "-" + name) }
	line := func(s string) string { return strings.ReplaceAll(printable(s), "\n", `\n`) }
	now := time.Now()
	verdict := func(err error) string {
		if err != nil {
			return "WRONG (" + err.Error() + ")"
		}
		return "right"
	}
	said := verdict(signature.VerifyRivya(head("Webhook-Signature"), head("Webhook-Timestamp"), body, now, l.secrets...))
	if h := r.Header.Get("Webhook-Signature"); h != "" {
		said += ", Standard Webhooks " + verdict(signature.VerifyStandard(r.Header.Get("Webhook-Id"), h, r.Header.Get("Webhook-Timestamp"), body, now, l.secrets...))
	}
	var event struct{ Type string }
	_ = json.Unmarshal(body, &event) // a Sivi body has no type
	fmt.Fprintf(l.out, "%s  %s  %s  attempt %s  signature %s\n", now.Format(time.TimeOnly),
		line(head("Webhook-Id")), line(event.Type), line(head("Webhook-Attempt")), said)
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "  ", "  ") != nil {
		pretty.Reset()
		fmt.Fprintf(&pretty, "%q", body)
	}
	fmt.Fprintf(l.out, "  %s\n", printable(pretty.String()))
}
