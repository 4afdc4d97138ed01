package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"hookferry/shared/api"
	"hookferry/shared/bounds"
	"hookferry/shared/cache"
	"hookferry/shared/config"
	"hookferry/shared/console"
	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/poller"
	"hookferry/shared/receiver"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/sivi"
	"hookferry/shared/sqlite"
	"hookferry/shared/telemetry"
)

// repairEvery is how often a node looks for overdue deliveries.
const repairEvery = 5 * time.Minute

// spareHands are how many batches a lane may have in hand besides those whose
// calls are in flight.
const spareHands = 256

// A node is the three functions of the deployed relay in one process.
type node struct {
	cfg        config.Config
	backend    backend
	store      relay.Store // the backend's, with the cache that all three share
	keys       *seal.Keyring
	dispatcher *dispatcher.Dispatcher
	handler    http.Handler
	refusals   *receiver.Refusals
	logger     *slog.Logger
	log        *telemetry.Log
	bounds     bounds.Bounds
}

// newNode wires a node. Audit takes a line for each management write, whatever
// the level of the log.
func newNode(cfg config.Config, b backend, keys *seal.Keyring, logger, audit *slog.Logger) *node {
	return newMeasuredNode(cfg, b, keys, logger, audit, nil)
}

// newMeasuredNode wires a node whose work m shows; nil: nothing does.
func newMeasuredNode(cfg config.Config, b backend, keys *seal.Keyring, logger, audit *slog.Logger, m *metrics) *node {
	n := &node{
		cfg: cfg, backend: b, keys: keys, logger: logger, log: telemetry.New(logger, time.Now),
		bounds: bounds.Of(bounds.FileLimit(), bounds.MemoryLimit()),
	}
	if m != nil {
		n.log = n.log.WithSink(m)
	}
	n.store = cache.Wrap(b.store, cache.TTL, time.Now)
	policy := egress.Policy{AllowPrivate: cfg.AllowPrivateDestinations}
	client := egress.New(egress.Config{
		Policy: policy, ConnectTimeout: cfg.ConnectTimeout, Timeout: cfg.DeliveryTimeout, MaxIdle: n.bounds.Idle,
	})
	var calls dispatcher.Client = client
	if m != nil {
		calls = m.countCalls(client)
	}
	n.dispatcher = dispatcher.New(dispatcher.Config{
		Store: n.store, Events: b.events, Retries: b.retries, Keys: keys, Client: calls,
		Schedule: cfg.RetrySchedule, HeaderPrefix: cfg.HeaderPrefix, DeliveryTimeout: cfg.DeliveryTimeout,
		FailingAfter: cfg.FailingAfter, Sivi: sivi.NewClient(cfg.SiviBaseURL, client),
		ExpectFirst: cfg.ExpectFirst, ExpectGiveUp: cfg.ExpectGiveUp, MaxCalls: n.bounds.Calls,
		Retention: cfg.Retention, Now: time.Now, Log: n.log,
	})
	var usage relay.UsageStore
	if counts, ok := b.store.(relay.UsageStore); ok {
		usage = cache.WrapUsage(counts, cache.TTL, time.Now)
	}
	n.refusals = receiver.NewRefusals(n.store)
	payload := payloadFor(b.store)
	ingest := receiver.New(receiver.Config{
		Refusals: n.refusals, Payload: payload, Usage: usage, Limit: cfg.AccountLimit.Times(2),
		Sources: n.store, Events: b.events, Keys: keys, PublicURL: cfg.PublicURL, Bodies: receiver.NewBodies(n.bounds.Bodies), Now: time.Now, Log: n.log,
	})
	manage := api.New(api.Config{
		Usage: usage, Limit: cfg.AccountLimit,
		Store: n.store, Events: b.events, Retries: b.retries, Keys: keys, URLs: policy, PublicURL: cfg.PublicURL,
		EndpointLimit: cfg.EndpointLimit, FailingAfter: cfg.FailingAfter, ExpectFirst: cfg.ExpectFirst, ExpectGiveUp: cfg.ExpectGiveUp,
		Payload: payload, Now: time.Now, Log: n.log, Audit: audit,
	})
	alive := &health{store: b.store, queues: map[string]relay.DeadLetters{"events": b.events, "retries": b.retries}}
	pages := console.Handler(manage)
	// Not a ServeMux, which would redirect a path like //in/: no provider follows.
	n.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/in/"):
			ingest.ServeHTTP(w, r)
		case path == "/healthz" || path == "/readyz":
			alive.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
	return n
}

// payloadFor returns how the bodies of events are kept: a disk of our own has the
// room for them as they are.
func payloadFor(store relay.Store) func([]byte) relay.Payload {
	if _, ok := store.(*sqlite.DB); ok {
		return relay.StorePayload
	}
	return relay.NewPayload
}

// run serves on ln and works on the queues until ctx ends, then stops cleanly:
// no new call, no new message, what is under way is finished.
func (n *node) run(ctx context.Context, ln net.Listener, ready func() error) error {
	srv := n.server()
	work, stopWork := context.WithCancel(ctx)
	defer stopWork()
	failed := make(chan error, 4)
	var workers sync.WaitGroup
	workers.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve: %w", err)
		}
	})
	// An invocation has the time for one delivery and what is recorded after it.
	timeout := n.cfg.DeliveryTimeout + bounds.NodeAfterCall
	for name, queue := range map[string]relay.Queue{"events": n.backend.events, "retries": n.backend.retries} {
		workers.Go(func() {
			err := poller.Run(work, poller.Config{
				Queue: queue, Name: name, Handle: n.dispatcher.Handle, Timeout: timeout,
				Visibility: timeout + bounds.NodeHidden, Drain: n.cfg.DeliveryTimeout + bounds.NodeDrain, Log: n.log,
				// A batch is in hand as long as its slowest call, so calls that hang must
				// not be able to take all hands: there are more hands than calls.
				Concurrency: n.bounds.Calls + spareHands,
			})
			if err != nil {
				failed <- err
			}
		})
	}
	workers.Go(func() { n.maintain(work) })

	err := ready()
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	n.logger.Info("stopping", "up_to", n.cfg.DeliveryTimeout.String())
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.cfg.DeliveryTimeout)
	defer cancel()
	stopWork()
	// A caller who has not sent all of a call by then was promised nothing.
	if serr := srv.Shutdown(stopping); errors.Is(serr, context.DeadlineExceeded) {
		n.logger.Warn("calls were still coming in when the time to stop was over", "closed", srv.Close() == nil)
	} else if err == nil && serr != nil {
		err = fmt.Errorf("stop serving: %w", serr)
	}
	workers.Wait()
	n.flush(context.WithoutCancel(ctx))
	if cerr := n.backend.close(); err == nil {
		err = cerr
	}
	if err == nil {
		select {
		case err = <-failed: // batches that were left: they come again at the next start
		default:
		}
	}
	if err == nil {
		n.logger.Info("stopped")
	}
	return err
}

// server returns the HTTP server of the node, with its bounds.
func (n *node) server() *http.Server {
	return &http.Server{
		Handler:           n.handler,
		ReadHeaderTimeout: bounds.NodeHeaders,
		ReadTimeout:       bounds.NodeRead,
		WriteTimeout:      bounds.NodeWrite,
		IdleTimeout:       bounds.NodeIdle,
		MaxHeaderBytes:    16 << 10,
		ConnState:         newConnLimit(n.bounds.Connections, n.log).note,
		ErrorLog:          slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
	}
}

// flush writes what is counted and not yet written.
func (n *node) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bounds.NodeFlush)
	defer cancel()
	n.dispatcher.Flush(ctx)
	n.refusals.Flush(ctx, time.Now())
}

// maintain writes counters that are due and looks for overdue deliveries.
func (n *node) maintain(ctx context.Context) {
	settle, repair := time.NewTicker(time.Second), time.NewTicker(repairEvery)
	defer settle.Stop()
	defer repair.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-settle.C:
			n.dispatcher.Settle(ctx)
			n.refusals.Settle(ctx, time.Now())
		case <-repair.C:
			if _, err := n.dispatcher.Repair(ctx); err != nil && ctx.Err() == nil {
				n.log.Failure(ctx, "repair", err)
			}
		}
	}
}

// newLogger writes readable lines to a terminal and JSON elsewhere. What the
// standard library says by itself, at a stranger's prompting too, is for DEBUG.
func newLogger(p program, level slog.Level) (logger, audit *slog.Logger) {
	logger, audit = slog.New(newHandler(p, level)), slog.New(newHandler(p, min(level, slog.LevelInfo)))
	slog.SetLogLoggerLevel(slog.LevelDebug)
	slog.SetDefault(logger)
	return logger, audit
}

func newHandler(p program, level slog.Level) slog.Handler {
	if f, ok := p.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return harmlessHandler{tint.NewTextHandler(f, &tint.Options{Level: level, TimeFormat: time.TimeOnly})}
	}
	return harmlessHandler{slog.NewJSONHandler(p.err, &slog.HandlerOptions{Level: level})}
}

// baseURL is the address that a listener answers at, for people.
func baseURL(ln net.Listener) string { return "http://" + strings.TrimSpace(ln.Addr().String()) }
