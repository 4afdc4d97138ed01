package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"hookferry/shared/disk"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/sqlite"
)

const backupAbout = `Copy the database of a data folder to FILE, also while serve or dev runs on it.

The copy is the data as of one moment after the command began: every event that
was accepted before is in it, with the queues, keys, endpoints and the record.
FILE is one file of mode 0600; it is checked before it has its name, and a backup
that is killed leaves none.

The keyring, which opens the secrets in the database, is not in FILE: keep a copy
of it apart from the backups, once and after each reseal -rotate. -keyring writes
one.`

const restoreAbout = `Make a data folder, or replace its database, from the backup in FILE.

No relay may run on the folder. The backup is checked first, and the keyring, the
folder's own or the one that -keyring names, must open every secret in it. What
was delivered after the backup was made is delivered again at the next start;
receivers drop it by its source and event id. With -force a database, and a keyring
that differs, are moved aside and kept.`

// A backupPlan is what backup and restore are told.
type backupPlan struct {
	file    string // the backup
	dir     string // the data folder
	keyring string // where a copy of the keyring goes, or comes from; or empty
	force   bool   // replace what is there
}

// A backedUp is what a backup has made.
type backedUp struct {
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"`
	UpTo    string `json:"complete_up_to"`
	Keyring string `json:"keyring"` // where its copy is; empty: none was made
}

// backup copies the database of a data folder, and its keyring if it is told to.
func (b backupPlan) backup(ctx context.Context) (backedUp, error) {
	if err := b.check(); err != nil {
		return backedUp{}, err
	}
	database := filepath.Join(b.dir, databaseFile)
	if _, err := os.Stat(database); err != nil {
		return backedUp{}, fmt.Errorf("%s is not a data folder of hookferry: %w", b.dir, err)
	}
	ring, err := readBounded(filepath.Join(b.dir, keyringFile))
	if err != nil {
		return backedUp{}, fmt.Errorf("the keyring: %w; without it the secrets in a backup could not be opened", err)
	}
	upTo := time.Now()
	if err := b.told(sqlite.Backup(ctx, database, b.file, b.force)); err != nil {
		return backedUp{}, err
	}
	done := backedUp{File: b.file, UpTo: relay.FormatTime(upTo), Keyring: b.keyring}
	info, err := os.Stat(b.file)
	if err != nil {
		return backedUp{}, err
	}
	done.Bytes = info.Size()
	if b.keyring == "" {
		return done, nil
	}
	if have, err := readBounded(b.keyring); err == nil && bytes.Equal(have, ring) {
		return done, nil
	}
	if b.force {
		return done, disk.Replace(b.keyring, ring)
	}
	return done, b.told(disk.Create(b.keyring, ring))
}

func (b backupPlan) check() error {
	if b.dir == "" {
		return usagef("say where: -data DIR")
	}
	return nil
}

// told adds to an error what the operator can do about it.
func (b backupPlan) told(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; give another name, or -force to replace it", err)
	}
	return err
}

// restore makes a data folder of a backup, or replaces its database. It returns
// the names of what it has moved aside.
func (b backupPlan) restore(ctx context.Context) (aside []string, err error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	own := filepath.Join(b.dir, keyringFile)
	from := own
	if b.keyring != "" {
		from = b.keyring
	}
	text, err := readBounded(from)
	if errors.Is(err, fs.ErrNotExist) && b.keyring == "" {
		return nil, fmt.Errorf("%s has no %s, and the secrets in a backup cannot be opened without the one that sealed them: name it with -keyring FILE", b.dir, keyringFile)
	}
	if err != nil {
		return nil, err
	}
	ring, err := seal.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	have, err := readBounded(own)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	differs := have != nil && !bytes.Equal(have, text)
	if differs && !b.force {
		return nil, fmt.Errorf("%s is there and is another keyring than %s: choose another folder, or give -force to move it aside", own, from)
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	old, err := sqlite.Restore(ctx, b.file, filepath.Join(b.dir, databaseFile), b.force, func(db *sqlite.DB) error {
		if err := opensAll(ctx, db, ring); err != nil {
			return fmt.Errorf("the keyring in %s is not the one of this backup: %w", from, err)
		}
		// The keyring is there before the database that needs it.
		if differs {
			kept := own + ".replaced-" + time.Now().UTC().Format("20060102T150405.000Z")
			if err := os.Rename(own, kept); err != nil {
				return err
			}
			aside = append(aside, kept)
		}
		if from == own {
			return nil
		}
		return disk.Replace(own, text)
	})
	if old != "" {
		aside = append(aside, old)
	}
	return aside, b.told(err)
}

// opensAll reports whether a keyring opens every secret in a database.
func opensAll(ctx context.Context, db relay.Store, ring *seal.Keyring) error {
	return eachSealed(ctx, db, func(sealed relay.Sealed, place seal.Place) error {
		if sealed == "" {
			return nil
		}
		_, err := ring.Open(sealed, place)
		return err
	})
}

// eachSealed calls do for every sealed field of every endpoint and source.
func eachSealed(ctx context.Context, store relay.Store, do func(relay.Sealed, seal.Place) error) error {
	accounts, err := everyPage(func(p relay.Page) ([]relay.Account, string, error) { return store.Accounts(ctx, p) })
	if err != nil {
		return err
	}
	for _, a := range accounts {
		place := func(object, field string) seal.Place { return seal.Place{Account: a.ID, Object: object, Field: field} }
		endpoints, err := everyPage(func(p relay.Page) ([]relay.Endpoint, string, error) { return store.Endpoints(ctx, a.ID, p) })
		if err != nil {
			return err
		}
		for _, ep := range endpoints {
			if err := errors.Join(do(ep.Secret, place(ep.ID, seal.SigningSecret)), do(ep.OldSecret, place(ep.ID, seal.OldSigningSecret))); err != nil {
				return fmt.Errorf("endpoint %s: %w", ep.ID, err)
			}
		}
		sources, err := everyPage(func(p relay.Page) ([]relay.Source, string, error) { return store.Sources(ctx, a.ID, p) })
		if err != nil {
			return err
		}
		for _, src := range sources {
			if err := errors.Join(do(src.Secret, place(src.ID, seal.SigningSecret)), do(src.OldSecret, place(src.ID, seal.OldSigningSecret)),
				do(src.Token, place(src.ID, seal.Token)), do(src.APIKey, place(src.ID, seal.SiviAPIKey))); err != nil {
				return fmt.Errorf("source %s: %w", src.ID, err)
			}
		}
	}
	return nil
}
