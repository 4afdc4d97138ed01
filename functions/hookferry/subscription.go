package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
	"hookferry/shared/relay"
)

// listenName is the name of the endpoints that listen makes.
const listenName = "hookferry listen"

// A subscription is an endpoint that lives as long as this process. A second
// process, the keeper, waits until this one has ended, and deletes the endpoint if
// it was not told that this has been done: so it goes also when this process is
// killed. An endpoint that outlived both is deleted by the next listen.
type subscription struct {
	id     string
	secret relay.Secret
	api    *client.Client
	keeper io.WriteCloser // nil if it could not be started
}

// subscribe makes an endpoint for a URL of this machine.
func subscribe(ctx context.Context, p program, api *client.Client, at string, o listenOptions) (*subscription, error) {
	sweep(ctx, api)
	ep, _, err := api.CreateEndpoint(ctx, client.Change{
		"name": listenName, "url": at, "event_types": o.eventTypes(), "format": *o.format,
		"signatures": []string{"rivya", "standard"},
	})
	if err != nil {
		return nil, fmt.Errorf("create an endpoint for %s: %w", at, err)
	}
	fmt.Fprintf(p.err, "created endpoint %s; deleted when this stops\n", ep.ID)
	s := &subscription{id: ep.ID, secret: relay.Secret(ep.SigningSecret), api: api}
	_, key, err := o.client.access(p)
	if err == nil {
		s.keeper, err = startKeeper(keeping{Base: api.Base(), Key: key.Reveal(), Endpoint: ep.ID})
	}
	if err != nil {
		fmt.Fprintln(p.err, "hookferry: if this is killed, the next listen deletes the endpoint:", printable(err.Error()))
	}
	return s, nil
}

// end deletes the endpoint and lets the keeper go.
func (s *subscription) end(ctx context.Context, p program) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, _, err := s.api.DeleteEndpoint(ctx, s.id); err != nil {
		fmt.Fprintln(p.err, "hookferry: the endpoint was not deleted:", printable(err.Error()))
	}
	if s.keeper != nil {
		_, _ = io.WriteString(s.keeper, "done\n") // else it deletes what is deleted
		_ = s.keeper.Close()
	}
}

// sweep deletes endpoints that an earlier listen left: nobody listens there any
// more. A failure leaves them to the next.
func sweep(ctx context.Context, api *client.Client) {
	page, _, err := client.Collect(1000, func(n int, cursor string) (client.Page[client.Endpoint], error) {
		return api.Endpoints(ctx, "", n, cursor)
	})
	if err != nil {
		return
	}
	for _, e := range page.Items {
		u, err := url.Parse(e.URL)
		if e.Name != listenName || e.RevokedAt != nil || err != nil || !isLoopbackURL(e.URL) {
			continue
		}
		conn, err := (&net.Dialer{Timeout: 300 * time.Millisecond}).DialContext(ctx, "tcp", u.Host)
		if err == nil {
			conn.Close()
			continue
		}
		_, _, _ = api.DeleteEndpoint(ctx, e.ID)
	}
}

// A keeping is what the keeper is told, on its standard input: no argument and no
// variable holds the key.
type keeping struct{ Base, Key, Endpoint string }

const keeperName = "listen-keeper"

// startKeeper starts the keeper and returns the pipe whose end it waits for.
func startKeeper(k keeping) (io.WriteCloser, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, keeperName) //nolint:noctx // it outlives this process: that is what it is for
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // it is reaped if it ends first
	return in, json.NewEncoder(in).Encode(k)
}

func keeperCommand(p program) *cobra.Command {
	c := verb(keeperName, "delete the endpoint of a listen that was killed", "")
	c.Hidden = true
	c.RunE = func(*cobra.Command, []string) error {
		// Ctrl-C is for the one that is waited for.
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		lines := bufio.NewScanner(io.LimitReader(p.in, 64<<10))
		var k keeping
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &k) != nil {
			return nil
		}
		if lines.Scan() {
			return nil // it is done
		}
		api, err := client.New(k.Base, relay.Secret(k.Key))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _, err = api.DeleteEndpoint(ctx, k.Endpoint)
		return err
	}
	return c
}
