package sqlite

import (
	"context"
	"database/sql/driver"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	codes "modernc.org/sqlite/lib"

	"hookferry/shared/disk"
)

//go:embed schema.sql
var schema1 string

//go:embed schema2.sql
var schema2 string

//go:embed schema3.sql
var schema3 string

// migrations are the scripts that lead from each version of the file to the
// next; the version is PRAGMA user_version. They are only ever added to.
var migrations = []string{schema1, schema2, schema3}

// applicationID marks the file as ours, in its header: "HKFY".
const applicationID = 0x484b4659

// checkTime bounds the check of a large file; what it did not come to is found
// when it is read.
const checkTime = 10 * time.Second

// prepare makes sure that a sound file of the newest version is at path. It
// writes nothing to one that it refuses.
func prepare(ctx context.Context, path string, locked bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
			return fmt.Errorf("%w: it is missing while its log %s-wal is there; put it back, or remove the log to begin anew",
				ErrDamaged, filepath.Base(path))
		}
		if err := create(path); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Size() == 0:
		return fmt.Errorf("%w: it is empty; put a copy back, or remove it to begin anew", ErrDamaged)
	}
	version, err := check(ctx, path)
	if err != nil {
		return err
	}
	if version == len(migrations) {
		return nil
	}
	if !locked {
		lock, err := lockFile(path + ".lock")
		if err != nil {
			return fmt.Errorf("it must be brought from version %d to %d first: %w", version, len(migrations), err)
		}
		defer lock.release()
	}
	c, err := openConn(path, "mode=rw", "busy_timeout(10000)", "synchronous(FULL)")
	if err != nil {
		return err
	}
	return errors.Join(migrate(c), c.close())
}

// create makes the file under another name and moves it to its own, so that
// nobody ever sees half of it, and of two processes one wins.
func create(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("create the data file: %w", err)
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return fmt.Errorf("create the data file: %w", err)
	}
	c, err := openConn(f.Name(), "mode=rw", "synchronous(FULL)")
	if err != nil {
		return fmt.Errorf("create the data file: %w", err)
	}
	err = c.run(fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	if err == nil {
		err = migrate(c)
	}
	if err == nil {
		err = c.run("PRAGMA journal_mode = WAL")
	}
	if err = errors.Join(err, c.close()); err != nil {
		return fmt.Errorf("create the data file: %w", err)
	}
	if err := disk.Place(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the data file: %w", err)
	}
	return disk.SyncDir(filepath.Dir(path))
}

// migrate brings the file to the newest version, each step in one transaction.
func migrate(c *conn) error {
	for {
		version, err := c.number("PRAGMA user_version")
		if err != nil {
			return err
		}
		if version >= int64(len(migrations)) {
			return nil
		}
		step := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", migrations[version], version+1)
		if err := c.run(step); err != nil {
			_ = c.run("ROLLBACK") // fails if SQLite has done so by itself
			return fmt.Errorf("bring the data file to version %d: %w", version+1, err)
		}
	}
}

// check reads the file without changing it and returns its version. It does so
// through SQLite alone: to open and close the file by other means would end the
// locks that this process may have on it.
func check(ctx context.Context, path string) (version int, err error) {
	// Without a log there is nothing but the file, and opening it as immutable
	// leaves not even empty files next to it.
	query := "mode=ro&immutable=1"
	if _, err := os.Stat(path + "-wal"); err == nil {
		query = "mode=ro"
	}
	version, err = checkAs(ctx, path, query)
	if query != "mode=ro" && errors.Is(err, ErrDamaged) {
		if _, e := os.Stat(path + "-wal"); e == nil { // another process opened it meanwhile
			return checkAs(ctx, path, "mode=ro")
		}
	}
	return version, err
}

func checkAs(ctx context.Context, path, mode string) (version int, err error) {
	c, err := openConn(path, mode, "busy_timeout(10000)")
	if err != nil {
		return 0, err
	}
	defer func() {
		c.close()
		if code(err) == codes.SQLITE_NOTADB {
			err = fmt.Errorf("%w: it is no SQLite file, or its beginning is lost; restore a copy", ErrDamaged)
		} else if damaged(err) {
			err = fmt.Errorf("%w: %w; restore a copy, or save what can be read with sqlite3's .recover", ErrDamaged, err)
		}
	}()
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	if id != applicationID {
		return 0, fmt.Errorf("%w: it is no data file of hookferry (application id %#x); restore a copy", ErrDamaged, id)
	}
	v, err := c.number("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	if v > int64(len(migrations)) {
		return 0, fmt.Errorf("%w: it has version %d, this program knows up to %d; run the newer program, "+
			"or restore a copy made before the upgrade", ErrNewer, v, len(migrations))
	}
	bounded, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	verdict, err := quickCheck(bounded, c)
	switch {
	case err == nil && verdict != "ok":
		return 0, fmt.Errorf("%w: %s; restore a copy, or save what can be read with sqlite3's .recover", ErrDamaged, verdict)
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case bounded.Err() != nil:
		return int(v), nil
	}
	return int(v), err
}

func quickCheck(ctx context.Context, c *conn) (string, error) {
	rows, err := c.c.(driver.QueryerContext).QueryContext(ctx, "PRAGMA quick_check(1)", nil)
	if err != nil {
		return "", err
	}
	r := make(row, len(rows.Columns()))
	err = rows.Next(r)
	return r.text(0), errors.Join(err, rows.Close())
}
