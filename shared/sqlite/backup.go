package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hookferry/shared/disk"
)

// Backup writes a copy of the data file at path to a new file, also while other
// processes, a relay among them, work on it. The copy is the data as of one moment,
// which is after the call: every write that was acknowledged before is in it. It is
// one file, whole, checked and synced before it has its name, and of mode 0600.
//
// It is an error that is fs.ErrExist if there is a file at to already, unless
// replace is set. A Backup that is killed leaves none at to, or the one that was
// there, and a file of its own beside it, which the next Backup into that folder
// removes.
func Backup(ctx context.Context, path, to string, replace bool) (err error) {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if !replace {
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("back up to %s: %w", to, fs.ErrExist)
		}
	}
	lock, part, err := beginPart(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endPart(lock, to)) }()
	if err := vacuumInto(ctx, path, part); err != nil {
		return fmt.Errorf("back up %s: %w", path, err)
	}
	return finishPart(ctx, part, to, replace)
}

// partFiles are the endings of the files that a copy in the making may have.
var partFiles = []string{"", "-journal", "-wal", "-shm", ".lock"}

// beginPart makes the empty file, of mode 0600, that becomes the one at to. Of two
// processes that make the same one, the second gets ErrInUse.
func beginPart(to string) (lock *fileLock, part string, err error) {
	sweepParts(filepath.Dir(to))
	if lock, err = lockFile(sibling(to, "lock")); err != nil {
		return nil, "", fmt.Errorf("%s is being made: %w", to, err)
	}
	part = sibling(to, "part")
	for _, ending := range partFiles { // of one that was killed
		if err := os.Remove(part + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			lock.release()
			return nil, "", err
		}
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		lock.release()
		return nil, "", err
	}
	return lock, part, f.Close()
}

// endPart removes what beginPart made, but for the file that has its name now.
func endPart(lock *fileLock, to string) error {
	for _, ending := range partFiles {
		_ = os.Remove(sibling(to, "part") + ending) // gone, if all went well
	}
	err := os.Remove(sibling(to, "lock"))
	lock.release()
	return err
}

// sweepParts removes what killed processes left in a folder: the copies in the
// making whose lock nobody holds.
func sweepParts(dir string) {
	locks, _ := filepath.Glob(sibling(filepath.Join(dir, "*"), "lock"))
	for _, name := range locks {
		to := filepath.Join(dir, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "."), ".hookferry-lock"))
		if lock, err := lockFile(name); err == nil {
			_ = endPart(lock, to)
		}
	}
}

// sibling names a hidden file next to another.
func sibling(path, kind string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".hookferry-"+kind)
}

// vacuumInto copies the data file, as one reader of it, into an empty file.
func vacuumInto(ctx context.Context, path, part string) error {
	c, err := openConn(path, "mode=rw", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	if err != nil {
		return err
	}
	target, err := dsn(part, "mode=rw")
	if err != nil {
		return errors.Join(err, c.close())
	}
	return errors.Join(c.runFor(ctx, "VACUUM INTO '"+strings.ReplaceAll(target, "'", "''")+"'"), c.close())
}

// finishPart checks and syncs a finished copy and gives it its name.
func finishPart(ctx context.Context, part, to string, replace bool) error {
	if err := sound(ctx, part); err != nil {
		return err
	}
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", part, err)
	}
	place := disk.Place
	if replace {
		place = os.Rename
	}
	if err := place(part, to); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(to))
}

// sound reads all of a file that nobody has open, without changing it.
func sound(ctx context.Context, path string) error {
	c, err := openConn(path, "mode=ro&immutable=1")
	if err != nil {
		return err
	}
	defer c.close()
	id, err := c.number("PRAGMA application_id")
	if err == nil && id != applicationID {
		return fmt.Errorf("%w: %s is no data file of hookferry", ErrDamaged, path)
	}
	verdict := ""
	if err == nil {
		verdict, err = quickCheck(ctx, c)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case damaged(err):
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	case err != nil:
		return fmt.Errorf("check %s: %w", path, err)
	case verdict != "ok":
		return fmt.Errorf("%w: %s: %s", ErrDamaged, path, verdict)
	}
	return nil
}

// Restore puts a copy of the backup in the file from at path, brought to the newest
// version, where no relay may be at work. All is as it was at the backup's moment;
// messages that were in flight then are received again. Before the copy has its
// name, accept may look at it and refuse it with an error; nil: it is not asked.
//
// A data file that is there already is an error that is fs.ErrExist, unless replace
// is set: it is moved aside then, with its log, and Restore returns to where.
func Restore(ctx context.Context, from, path string, replace bool, accept func(*DB) error) (aside string, err error) {
	if info, err := os.Stat(from + "-wal"); err == nil && info.Size() > 0 {
		return "", fmt.Errorf("%s has a log beside it, so it is no backup but a data file, or a part of one; make a backup of it with hookferry backup", from)
	}
	if info, err := os.Stat(from); err != nil {
		return "", err
	} else if info.Size() == 0 {
		return "", fmt.Errorf("%w: %s is empty", ErrDamaged, from)
	}
	if err := sound(ctx, from); err != nil {
		return "", err
	}
	if _, err := check(ctx, from); err != nil { // its version
		return "", fmt.Errorf("%s: %w", from, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("folder of the data file: %w", err)
	}
	lock, err := lockFile(path + ".lock") // the one of whoever works on the queues
	if err != nil {
		return "", fmt.Errorf("restore to %s: %w", path, err)
	}
	defer lock.release()
	if !replace {
		for _, name := range []string{path, path + "-wal"} {
			if _, err := os.Lstat(name); err == nil {
				return "", fmt.Errorf("%s is there: %w", name, fs.ErrExist)
			}
		}
	}
	partLock, part, err := beginPart(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, endPart(partLock, path)) }()
	if err := copyFile(ctx, from, part); err != nil {
		return "", fmt.Errorf("restore to %s: %w", path, err)
	}
	if err := try(ctx, part, accept); err != nil {
		return "", err
	}
	if replace {
		if aside, err = moveAside(path, time.Now()); err != nil {
			return "", err
		}
	}
	return aside, finishPart(ctx, part, path, false)
}

// try opens a copy as a relay will, and has it looked at.
func try(ctx context.Context, part string, accept func(*DB) error) error {
	db, err := Open(ctx, Config{Path: part})
	if err != nil {
		return err
	}
	if accept != nil {
		err = accept(db)
	}
	err = errors.Join(err, db.Close())
	for _, left := range partFiles[2:] {
		info, serr := os.Stat(part + left)
		if serr == nil && left == "-wal" && info.Size() > 0 {
			err = errors.Join(err, fmt.Errorf("the log of %s could not be copied into it", part))
		}
		_ = os.Remove(part + left)
	}
	return err
}

// moveAside gives a data file, and its log, another name. A crash between leaves
// the log without its file, which no opening takes for a sound one.
func moveAside(path string, now time.Time) (aside string, err error) {
	aside = path + ".replaced-" + now.UTC().Format("20060102T150405.000Z")
	for _, ending := range []string{"", "-wal"} {
		if err := os.Rename(path+ending, aside+ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("move the old data file aside: %w", err)
		}
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Lstat(aside); err != nil {
		aside = "" // there was none
	}
	return aside, nil
}

func copyFile(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return in.Read(b)
	}))
	return err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
