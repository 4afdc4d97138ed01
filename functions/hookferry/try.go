package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
	"hookferry/shared/config"
	"hookferry/shared/relay"
)

const (
	// tryRetry is how long a trial waits before a second attempt.
	tryRetry = time.Second
	// tryPatience is how long a trial waits for any one thing.
	tryPatience = 15 * time.Second
)

func tryCommand(p program) *cobra.Command {
	c := verb("try", "see a relay at work, start to end, in a few seconds; needs nothing", `See a relay at work, start to end, in a few seconds.

It starts a relay and a receiver on this machine, calls the relay as Rivya and as
Sivi do, and shows each step with its time: a signed call, its delivery and both
signatures checked, the same call again, a forged one, and a delivery that fails
and is tried again. It exits 0 if all went as it should, else 1 and says what did
not. It needs nothing, touches nothing, and ignores settings in the environment.`, "hookferry try")
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runTry(cmd.Context(), p) }
	return c
}

// runTry shows a relay at work from a provider's call to a verified delivery.
func runTry(ctx context.Context, p program) error {
	t := newTrial(p.out, styleOf(p.out, p.lookup))
	fmt.Fprintf(p.out, "%s\n%s\n", t.style.bold("Hookferry at work: a relay, a receiver and two providers, on this machine."),
		"Nothing leaves it. The data is in a temporary folder, removed at the end.")
	defer t.stop()
	for _, step := range []func(context.Context) error{t.start, t.signedCall, t.duplicate, t.forgedCall, t.retriedCall, t.record} {
		if err := step(ctx); err != nil {
			t.say("✗", "failed", err.Error())
			t.sayLog()
			return errors.New("the trial did not go as it should: " + err.Error())
		}
	}
	return nil
}

// A trial is one run of try: what it has started, and what it has seen.
type trial struct {
	out   io.Writer
	style style
	began time.Time

	client *client.Client
	inbox  *inbox
	rivya  sample
	sivi   sample
	event  string // the ID of Rivya's event
	body   []byte // and its body
	calls  int    // that were accepted

	log     bytes.Buffer // what the relay logs; read once it has stopped
	closers []func()
}

func newTrial(out io.Writer, s style) *trial {
	return &trial{out: out, style: s, began: time.Now()}
}

// stop ends what start began, the last thing first.
func (t *trial) stop() {
	for i := len(t.closers) - 1; i >= 0; i-- {
		t.closers[i]()
	}
	t.closers = nil
}

// say prints one step with its time.
func (t *trial) say(mark, what, text string) {
	switch mark {
	case "✓":
		mark = t.style.green(mark)
	case "✗":
		mark = t.style.red(mark)
	case "!":
		mark = t.style.yellow(mark)
	}
	fmt.Fprintf(t.out, "  %s  %s %-10s %s\n", t.style.dim(fmt.Sprintf("%6.3f s", time.Since(t.began).Seconds())), mark, what, printable(text))
}

func (t *trial) head(text string) { fmt.Fprintf(t.out, "\n%s\n", t.style.bold(text)) }

// sayLog shows what the relay logged, for a trial that went wrong.
func (t *trial) sayLog() {
	t.stop()
	if t.log.Len() > 0 {
		fmt.Fprintf(t.out, "\nThe relay's log:\n%s", printable(t.log.String()))
	}
}

// start runs a relay and a receiver, and makes an endpoint and two sources.
func (t *trial) start(ctx context.Context) error {
	fmt.Fprintln(t.out)
	if err := t.startRelay(ctx); err != nil {
		return err
	}
	t.say("✓", "relay", "ready at "+t.client.Base())
	receiver, err := newInbox(ctx)
	if err != nil {
		return err
	}
	t.inbox = receiver
	t.closers = append(t.closers, receiver.close)
	ep, _, err := t.client.CreateEndpoint(ctx, client.Change{
		"name": "try", "url": receiver.url, "event_types": []string{"*"}, "signatures": []string{"rivya", "standard"},
	})
	if err != nil {
		return err
	}
	receiver.secret = relay.Secret(ep.SigningSecret)
	t.say("✓", "receiver", "ready at "+receiver.url+", wants all")
	t.rivya, t.sivi = sample{provider: relay.Rivya}, sample{provider: relay.Sivi}
	for _, s := range []*sample{&t.rivya, &t.sivi} {
		if err := s.source(ctx, t.client); err != nil {
			return err
		}
	}
	t.say("✓", "sources", "Rivya shares a secret; Sivi's URL holds a token")
	return nil
}

// startRelay runs a node as dev does, on a folder that is removed at the end.
func (t *trial) startRelay(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "hookferry-try-")
	if err != nil {
		return fmt.Errorf("temporary data folder: %w", err)
	}
	t.closers = append(t.closers, func() { os.RemoveAll(dir) })
	settings := map[string]string{"RETRY_SCHEDULE": "0s," + tryRetry.String()}
	cfg, err := config.LoadDev(func(name string) (string, bool) { v, ok := settings[name]; return v, ok })
	if err != nil {
		return err
	}
	keys, err := openKeyring(dir)
	if err != nil {
		return err
	}
	ln, err := listenLoopback(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	cfg.PublicURL = baseURL(ln)
	b, err := openData(ctx, dir, cfg.Retention, true)
	if err != nil {
		ln.Close()
		return err
	}
	account, err := ensureAccount(ctx, b.store, "try")
	if err != nil {
		return errors.Join(err, ln.Close(), b.close())
	}
	_, key, err := newKey(ctx, b.store, account.ID, "hookferry try", relay.Scopes(), 0)
	if err != nil {
		return errors.Join(err, ln.Close(), b.close())
	}
	if t.client, err = client.New(baseURL(ln), key); err != nil {
		return errors.Join(err, ln.Close(), b.close())
	}
	logger := slog.New(harmlessHandler{slog.NewTextHandler(&t.log, &slog.HandlerOptions{Level: slog.LevelWarn})})
	running, stop := context.WithCancel(ctx)
	ready, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		stopped <- newNode(cfg, b, keys, logger, slog.New(slog.DiscardHandler)).run(running, ln, func() error { close(ready); return nil })
	}()
	t.closers = append(t.closers, func() {
		stop()
		if err := <-stopped; err != nil {
			t.say("!", "relay", "did not stop cleanly: "+err.Error())
		}
	})
	select {
	case <-ready:
		return nil
	case err := <-stopped:
		stopped <- nil // for the closer
		return fmt.Errorf("the relay did not start: %w", err)
	}
}

// signedCall is a call of Rivya's, which arrives verified.
func (t *trial) signedCall(ctx context.Context) (err error) {
	t.head("Rivya calls: an image is ready. The call is signed.")
	now := time.Now()
	if t.body, err = rivyaSample("", "generation.succeeded", now); err != nil {
		return err
	}
	if t.event, err = t.accepted(ctx, &t.rivya, t.body); err != nil {
		return err
	}
	t.say("✓", "on disk", t.event)
	got, err := t.inbox.next(ctx)
	if err != nil {
		return err
	}
	if got.event != t.event || !bytes.Equal(got.body, t.body) {
		return errors.New("what was delivered is not what Rivya sent")
	}
	return t.delivered(got, now, "byte for byte as it came")
}

// duplicate is the same call again: it is answered alike, and goes nowhere.
func (t *trial) duplicate(ctx context.Context) error {
	t.head("Rivya calls again with the same event, as if it had missed the answer.")
	id, err := t.accepted(ctx, &t.rivya, t.body)
	if err != nil {
		return err
	}
	if id != t.event {
		return fmt.Errorf("the same call again made another event, %s", id)
	}
	t.say("✓", "duplicate", "the event is known: nothing is delivered again")
	return nil
}

// forgedCall is signed, and not with the secret of the source.
func (t *trial) forgedCall(ctx context.Context) error {
	t.head("Somebody calls who does not have the secret.")
	forger := t.rivya
	forger.secret = relay.NewSigningSecret()
	said, err := forger.call(ctx, t.body)
	if err != nil {
		return err
	}
	if said.code != http.StatusUnauthorized {
		return fmt.Errorf("a call with a wrong signature was answered %s, want 401", said.status)
	}
	t.say("✓", "refused", "401: the signature is wrong; nothing is stored")
	return nil
}

// retriedCall is a call of Sivi's whose first delivery fails.
func (t *trial) retriedCall(ctx context.Context) error {
	t.head("Sivi calls: a design is ready. Sivi signs nothing and never calls twice.")
	t.inbox.failNext()
	now := time.Now()
	id, err := t.accepted(ctx, &t.sivi, siviSample("", "complete", now))
	if err != nil {
		return err
	}
	t.say("✓", "on disk", id)
	first, err := t.inbox.next(ctx)
	if err != nil {
		return err
	}
	if first.event != id || first.answered == http.StatusOK {
		return errors.New("the first delivery of Sivi's event did not fail, and it was to")
	}
	t.say("!", "failed", fmt.Sprintf("attempt %s: the receiver answers %d; the next in %s", first.attempt, first.answered, tryRetry))
	second, err := t.inbox.next(ctx)
	if err != nil {
		return err
	}
	if second.event != id || second.attempt != "2" {
		return fmt.Errorf("want attempt 2 of %s, got attempt %s of %s", id, second.attempt, second.event)
	}
	return t.delivered(second, first.at, "in Rivya's form, and signed")
}

// accepted makes a provider's call, which must be answered 200, and returns the
// ID of its event.
func (t *trial) accepted(ctx context.Context, s *sample, body []byte) (string, error) {
	path := s.url[strings.Index(s.url, "/in/"):]
	if s.provider == relay.Sivi {
		path = path[:strings.LastIndex(path, "/")] + "/(token)"
	}
	t.say("→", "call", fmt.Sprintf("POST %s, %d B", path, len(body)))
	began := time.Now()
	said, err := s.call(ctx, body)
	if err != nil {
		return "", err
	}
	var received struct{ ID string }
	if said.code != http.StatusOK || json.Unmarshal(said.body, &received) != nil || received.ID == "" {
		return "", fmt.Errorf("the call was answered %s %s", said.status, said.body)
	}
	t.calls++
	proof := map[relay.Provider]string{relay.Rivya: "the signature is right", relay.Sivi: "the token is right"}[s.provider]
	t.say("✓", "accepted", fmt.Sprintf("200 after %s: %s", short(time.Since(began)), proof))
	return received.ID, nil
}

// delivered judges a delivery by its signatures.
func (t *trial) delivered(got arrival, since time.Time, how string) error {
	if got.wrong != nil {
		return fmt.Errorf("attempt %s arrived, and its signature is wrong: %w", got.attempt, got.wrong)
	}
	if got.answered != http.StatusOK {
		return fmt.Errorf("attempt %s was answered %d", got.attempt, got.answered)
	}
	t.say("✓", "delivered", fmt.Sprintf("attempt %s after %s, %s", got.attempt, short(got.at.Sub(since)), how))
	t.say("✓", "verified", "both signatures are right; the receiver answers 200")
	return nil
}

// record compares what the relay has on record with what was seen.
func (t *trial) record(ctx context.Context) error {
	t.head("What the relay has on record:")
	var page client.Page[client.Event]
	for deadline := time.Now().Add(tryPatience); ; {
		var err error
		if page, err = t.client.Events(ctx, client.EventFilter{}, 0, ""); err != nil {
			return err
		}
		if len(page.Items) == 2 && page.Items[0].Status == "delivered" && page.Items[1].Status == "delivered" {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("want two delivered events on record, got %+v", page.Items)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	attempts := 0
	for i := len(page.Items) - 1; i >= 0; i-- {
		ev, _, err := t.client.Event(ctx, page.Items[i].ID, "")
		if err != nil {
			return err
		}
		n := 0
		for _, d := range ev.Deliveries {
			n += d.Attempts
		}
		attempts += n
		t.say("✓", ev.Status, fmt.Sprintf("%s  %s, %s", ev.ID, "by "+ev.VerifiedBy, plural(n, "attempt")))
	}
	if seen := t.inbox.count(); seen != 3 || attempts != seen {
		return fmt.Errorf("the receiver got %s, the record has %s, want 3 of each", plural(seen, "delivery"), plural(attempts, "attempt"))
	}
	fmt.Fprintf(t.out, `
%s %d calls accepted, of them 1 a duplicate; 1 refused.
2 events delivered in 3 attempts, of them 1 a retry; each verified. %.1f s.

Now yourself, in three terminals:
  %[4]s dev -data .hookferry           # a relay
  %[4]s listen -data .hookferry        # a receiver
  %[4]s send rivya -data .hookferry    # a provider's call
`, t.style.green("All as it should be."), t.calls, time.Since(t.began).Seconds(), invoked())
	return nil
}
