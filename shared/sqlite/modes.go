package sqlite

import (
	"errors"
	"fmt"
)

// logSize is how large the log may grow before it is copied into the file, in
// bytes: pages that many transactions touched are copied once, and it stays small
// enough that copying takes some hundredths of a second.
const logSize = 16 << 20

// setModes brings the modes that a file carries in its header to what this package
// relies on, whoever wrote the file: a copy made by VACUUM INTO, by .recover or by
// another program has its own. It returns how many pages the log may have.
//
//   - The journal is a write-ahead log. Under any other, readers and the writer
//     would shut each other out, and a commit would wait for every reader.
//   - Texts are UTF-8. Lists and cursors compare them byte by byte.
//   - Commits move no pages about to make the file smaller.
//
// What cannot be changed is refused with a sentence that says what to do.
func setModes(c *conn) (logPages int64, err error) {
	encoding, err := c.word("PRAGMA encoding")
	if err != nil {
		return 0, err
	}
	if encoding != "UTF-8" {
		return 0, fmt.Errorf("%w: its texts are in %s, and hookferry writes UTF-8: another program made it; restore a copy", ErrDamaged, encoding)
	}
	if vacuum, err := c.number("PRAGMA auto_vacuum"); err != nil {
		return 0, err
	} else if vacuum == 1 { // FULL; INCREMENTAL, 2, does nothing by itself
		if err := c.run("PRAGMA auto_vacuum = INCREMENTAL"); err != nil {
			return 0, fmt.Errorf("turn auto_vacuum off: %w", err)
		}
	}
	mode, err := c.word("PRAGMA journal_mode = WAL")
	if err != nil {
		return 0, fmt.Errorf("it has no write-ahead log, and could not be given one; stop every other program that has it open: %w", err)
	}
	if mode != "wal" {
		return 0, fmt.Errorf("it has no write-ahead log (its journal mode is %s), and cannot be given one: "+
			"%w; keep the data folder on a disk of this machine", mode, errors.ErrUnsupported)
	}
	page, err := c.number("PRAGMA page_size")
	if err != nil {
		return 0, err
	}
	return logSize / max(page, 512), nil
}

// word returns the text in the first column of what a PRAGMA answers. It is not
// kept prepared: many a PRAGMA acts when it is prepared.
func (c *conn) word(pragma string) (string, error) {
	s, err := c.c.Prepare(pragma)
	if err != nil {
		return "", err
	}
	rows, err := s.(statement).QueryContext(noContext, nil)
	if err != nil {
		return "", errors.Join(err, s.Close())
	}
	r := make(row, len(rows.Columns()))
	err = rows.Next(r)
	return r.text(0), errors.Join(err, rows.Close(), s.Close())
}
