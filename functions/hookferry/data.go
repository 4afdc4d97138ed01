package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"hookferry/shared/disk"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/sqlite"
)

// The files of a data folder, all of mode 0600.
const (
	databaseFile = "hookferry.db"
	keyringFile  = "keyring.json" // seals the secrets in the database; back it up apart from it
	keyFile      = "dev.key"      // the API key that dev made
	addressFile  = "dev.address"  // where dev answers
)

// A lane is a queue with its dead letters.
type lane interface {
	relay.Queue
	relay.DeadLetters
}

// A backend is the two ports, wherever they are.
type backend struct {
	store           relay.Store
	events, retries lane
	close           func() error
}

// end closes the backend after a command has done its work.
func (b backend) end(p program) {
	if err := b.close(); err != nil {
		fmt.Fprintln(p.err, "hookferry: close:", err)
	}
}

// openData opens the database of a data folder. Exclusive is for the process
// that works on its queues; others may read and write keys meanwhile.
func openData(ctx context.Context, dir string, retention time.Duration, exclusive bool) (backend, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return backend{}, fmt.Errorf("data folder: %w", err)
	}
	db, err := sqlite.Open(ctx, sqlite.Config{
		Path: filepath.Join(dir, databaseFile), Retention: retention, Now: time.Now, Exclusive: exclusive, Log: slog.Default(),
	})
	if err != nil {
		return backend{}, err
	}
	return backend{store: db, events: db.Queue("events"), retries: db.Queue("retries"), close: db.Close}, nil
}

// firstData opens a data folder, or makes a new one with a keyring of its own.
func firstData(ctx context.Context, dir string, retention time.Duration) (backend, error) {
	if _, err := openKeyring(dir); err != nil {
		return backend{}, err
	}
	return openData(ctx, dir, retention, false)
}

// existingData refuses a folder without a database, so that a mistyped -data
// does not make a new one.
func existingData(ctx context.Context, dir string, retention time.Duration) (backend, error) {
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); err != nil {
		return backend{}, fmt.Errorf("%s is not a data folder of hookferry: %w", dir, err)
	}
	return openData(ctx, dir, retention, false)
}

// openKeyring reads the folder's sealing keyring. A new one is made only where
// there is no database yet: without its keyring a database's secrets are lost,
// and a fresh one would hide that. Of several commands that find none at the same
// time one makes it and all read that one: what another sealed could never be
// opened again.
func openKeyring(dir string) (*seal.Keyring, error) {
	path := filepath.Join(dir, keyringFile)
	ring, err := readKeyring(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); err == nil {
		// The keyring comes first, so it may have come since.
		if ring, err := readKeyring(path); !errors.Is(err, fs.ErrNotExist) {
			return ring, err
		}
		return nil, fmt.Errorf("%s is missing: the secrets in %s cannot be opened without it; restore it from your backup", path, databaseFile)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := disk.Create(path, seal.Generate().Marshal()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readKeyring(path)
}

func readKeyring(path string) (*seal.Keyring, error) {
	b, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	ring, err := seal.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}

// readBounded reads a file of at most 1 MiB.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > 1<<20 {
		return nil, fmt.Errorf("read %s: over 1 MiB", path)
	}
	return b, nil
}

// checkPrivate refuses a data folder, or a file in it that holds secrets, which
// others on this machine may read or write. What is not there yet is made private.
func checkPrivate(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // modes say nothing there
	}
	for _, path := range []string{dir, filepath.Join(dir, keyringFile), filepath.Join(dir, databaseFile), filepath.Join(dir, keyFile)} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return fmt.Errorf("%s has mode %04o: others on this machine may read or write what is in it, and it holds secrets; run: chmod go= %s", path, mode, path)
		}
	}
	return nil
}
