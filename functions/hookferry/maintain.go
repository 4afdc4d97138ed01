package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/disk"
	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/sqlite"
)

func repairCommand(p program) *cobra.Command {
	c := verb("repair", "send again every delivery whose next attempt is overdue", `Send again every delivery whose next attempt is more than 10 minutes overdue.

dev and serve do this by themselves every 5 minutes, a deployment by a timer.`, "hookferry repair -data DIR")
	where := addBackendFlags(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runRepair(cmd.Context(), p, where) }
	return c
}

// runRepair walks over the open deliveries once.
func runRepair(ctx context.Context, p program, where backendFlags) error {
	b, err := where.open(ctx, p)
	if err != nil {
		return err
	}
	defer b.end(p)
	overdue, err := dispatcher.New(dispatcher.Config{Store: b.store, Retries: b.retries, Now: time.Now}).Repair(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%d overdue deliveries sent again\n", overdue)
	return revive(ctx, p, b)
}

// revive makes visible what a wrong clock has hidden on the lanes of a data folder,
// events that are not on record yet among it. On AWS the queue's clock is not ours.
func revive(ctx context.Context, p program, b backend) error {
	db, ok := b.store.(*sqlite.DB)
	if !ok {
		return nil
	}
	n, err := db.Revive(ctx)
	if err == nil && n > 0 {
		fmt.Fprintf(p.out, "%d messages that a wrong clock had hidden can be received again\n", n)
	}
	return err
}

func resealCommand(p program) *cobra.Command {
	c := verb("reseal", "seal every stored secret under the newest key", `Seal every stored secret under the newest sealing key.

With -rotate a new key is added first; restart dev or serve in between, so that
it knows the new key: reseal -rotate, restart, reseal. Old keys stay on the ring
for backups. On AWS, put the new keyring into the secret, wait until every
function has started anew, then run reseal with -keyring.`,
		"hookferry reseal -data DIR -rotate", "hookferry reseal -data DIR")
	rotate := c.Flags().Bool("rotate", false, "only add a new key to the folder's keyring")
	ringFile := c.Flags().String("keyring", "", "`FILE` with the keyring (default: the one in the data folder)")
	where := addBackendFlags(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return runReseal(cmd.Context(), p, where, *rotate, *ringFile)
	}
	return c
}

// runReseal rotates the folder's sealing key, if asked, or seals every stored
// secret under the newest one.
func runReseal(ctx context.Context, p program, where backendFlags, rotate bool, ringFile string) error {
	var ring *seal.Keyring
	var err error
	if ringFile != "" {
		b, rerr := readBounded(ringFile)
		if rerr != nil {
			return rerr
		}
		ring, err = seal.Parse(b)
	} else {
		ring, err = openSealed(*where.data)
	}
	if err != nil {
		return err
	}
	if rotate {
		if *where.data == "" || ringFile != "" {
			return errors.New("-rotate works on a data folder: give -data DIR alone")
		}
		ring = ring.Rotate()
		if err := disk.Replace(filepath.Join(*where.data, keyringFile), ring.Marshal()); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "the keyring has version %v; restart the relay, then run reseal\n", ring.Versions())
		return nil
	}
	b, err := where.open(ctx, p)
	if err != nil {
		return err
	}
	defer b.end(p)
	r := resealer{store: b.store, ring: ring}
	if err := r.run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%d endpoints and sources sealed under version %d, %d were already\n", r.done, ring.Sealing(), r.current)
	return nil
}

type resealer struct {
	store         relay.Store
	ring          *seal.Keyring
	done, current int
}

func (r *resealer) run(ctx context.Context) error {
	accounts, err := everyPage(func(p relay.Page) ([]relay.Account, string, error) { return r.store.Accounts(ctx, p) })
	if err != nil {
		return err
	}
	for _, a := range accounts {
		endpoints, err := everyPage(func(p relay.Page) ([]relay.Endpoint, string, error) { return r.store.Endpoints(ctx, a.ID, p) })
		if err != nil {
			return err
		}
		for _, ep := range endpoints {
			if err := retryConflict(func() error { return r.endpoint(ctx, a.ID, ep.ID) }); err != nil {
				return fmt.Errorf("endpoint %s: %w", ep.ID, err)
			}
		}
		sources, err := everyPage(func(p relay.Page) ([]relay.Source, string, error) { return r.store.Sources(ctx, a.ID, p) })
		if err != nil {
			return err
		}
		for _, src := range sources {
			if err := retryConflict(func() error { return r.source(ctx, a.ID, src.ID) }); err != nil {
				return fmt.Errorf("source %s: %w", src.ID, err)
			}
		}
	}
	return nil
}

func (r *resealer) endpoint(ctx context.Context, account, id string) error {
	ep, err := r.store.Endpoint(ctx, account, id)
	if err != nil {
		return err
	}
	changed, err := r.fields(account, id, map[string]*relay.Sealed{
		seal.SigningSecret: &ep.Secret, seal.OldSigningSecret: &ep.OldSecret,
	})
	if err == nil && changed {
		err = r.store.UpdateEndpoint(ctx, ep)
	}
	return r.count(changed, err)
}

func (r *resealer) source(ctx context.Context, account, id string) error {
	src, err := r.store.Source(ctx, account, id)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // deleted since it was listed
	}
	if err != nil {
		return err
	}
	changed, err := r.fields(account, id, map[string]*relay.Sealed{
		seal.SigningSecret: &src.Secret, seal.OldSigningSecret: &src.OldSecret, seal.Token: &src.Token, seal.SiviAPIKey: &src.APIKey,
	})
	if err == nil && changed {
		err = r.store.UpdateSource(ctx, src)
	}
	return r.count(changed, err)
}

// fields seals anew what is not under the ring's sealing key, each in its own place.
func (r *resealer) fields(account, id string, fields map[string]*relay.Sealed) (changed bool, err error) {
	for name, sealed := range fields {
		if r.ring.Current(*sealed) {
			continue
		}
		place := seal.Place{Account: account, Object: id, Field: name}
		secret, err := r.ring.Open(*sealed, place)
		if err != nil {
			return false, err
		}
		*sealed = r.ring.Seal(secret, place)
		changed = true
	}
	return changed, nil
}

// count counts an endpoint or source once it is stored: one that lost a race
// comes again.
func (r *resealer) count(changed bool, err error) error {
	switch {
	case err != nil:
	case changed:
		r.done++
	default:
		r.current++
	}
	return err
}

// retryConflict repeats what lost a race with another write, a few times.
func retryConflict(do func() error) error {
	var err error
	for range 5 {
		if err = do(); !errors.Is(err, relay.ErrConflict) {
			return err
		}
	}
	return err
}
