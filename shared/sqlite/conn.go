package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	driversqlite "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// conn is one connection with its prepared statements, used by one goroutine at
// a time. It stands on the driver itself: database/sql would add a pool, locks
// and a goroutine for each call under a cancellable context, which is more than
// many of the statements cost.
type conn struct {
	c     driver.Conn
	stmts map[string]statement
	args  []driver.NamedValue
	wrote bool // since it was last cleared

	statements, rows int64 // run and read, of prepared statements
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// row is one row of a result. It is valid until the next one, its blobs for ever.
type row []driver.Value

func (r row) text(i int) string    { s, _ := r[i].(string); return s }
func (r row) int(i int) int64      { n, _ := r[i].(int64); return n }
func (r row) blob(i int) []byte    { b, _ := r[i].([]byte); return b }
func (r row) bool(i int) bool      { return r.int(i) != 0 }
func (r row) time(i int) time.Time { return fromMillis(r.int(i)) }

// noContext is what statements run under: the driver starts a goroutine for each
// one whose context can end, and none of ours runs long.
var noContext context.Context

// errStop ends each without an error.
var errStop = errors.New("stop")

// dsn returns the URI of the file; SQLite would take ?, # and % of a plain path
// for parts of one.
func dsn(path, query string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("path of the data file: %w", err)
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") {
		abs = "/" + abs
	}
	return (&url.URL{Scheme: "file", Path: abs, RawQuery: query}).String(), nil
}

// openConn opens the file under the parameters of an SQLite URI.
func openConn(path, query string, pragmas ...string) (*conn, error) {
	for _, p := range pragmas {
		query += "&_pragma=" + url.QueryEscape(p)
	}
	name, err := dsn(path, query)
	if err != nil {
		return nil, err
	}
	c, err := (&driversqlite.Driver{}).Open(name)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: map[string]statement{}}, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}

// prepared returns the statement for the query, which is prepared once.
func (c *conn) prepared(query string) (statement, error) {
	c.statements++
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.c.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s.(statement)
	return s.(statement), nil
}

func (c *conn) bind(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, a := range args {
		v := driver.NamedValue{Ordinal: i + 1}
		switch a := a.(type) {
		case int64, string, bool:
			v.Value = a
		case []byte:
			v.Value = a
			if len(a) == 0 { // the driver would make it NULL
				v.Value = ""
			}
		case int:
			v.Value = int64(a)
		case time.Time:
			v.Value = millis(a)
		default:
			return nil, fmt.Errorf("argument %d: cannot store a %T", i+1, a)
		}
		c.args = append(c.args, v)
	}
	return c.args, nil
}

// exec runs a statement that changes rows, and returns how many.
func (c *conn) exec(query string, args ...any) (int64, error) {
	res, err := c.change(query, args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insert runs an INSERT and returns the row's number.
func (c *conn) insert(query string, args ...any) (int64, error) {
	res, err := c.change(query, args)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

func (c *conn) change(query string, args []any) (driver.Result, error) {
	s, err := c.prepared(query)
	if err != nil {
		return nil, err
	}
	values, err := c.bind(args)
	if err != nil {
		return nil, err
	}
	c.wrote = true
	return s.ExecContext(noContext, values)
}

// run executes statements that are not worth keeping prepared, or must not be:
// many a PRAGMA acts when it is prepared.
func (c *conn) run(script string) error {
	_, err := c.c.(driver.ExecerContext).ExecContext(noContext, script, nil)
	return err
}

// runFor is run for a script that takes long: it is interrupted when ctx ends.
func (c *conn) runFor(ctx context.Context, script string) error {
	_, err := c.c.(driver.ExecerContext).ExecContext(ctx, script, nil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// each calls fn with every row of the query's result until it returns an error,
// which each returns unless it is errStop. fn must not use the same query.
func (c *conn) each(query string, fn func(r row) error, args ...any) (err error) {
	s, err := c.prepared(query)
	if err != nil {
		return err
	}
	values, err := c.bind(args)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(noContext, values)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	r := make(row, len(rows.Columns()))
	for {
		if err := rows.Next(r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		c.rows++
		if err := fn(r); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// first calls fn with the first row, and reports whether there was one.
func (c *conn) first(query string, fn func(r row) error, args ...any) (found bool, err error) {
	err = c.each(query, func(r row) error {
		found = true
		if err := fn(r); err != nil {
			return err
		}
		return errStop
	}, args...)
	return found, err
}

// number returns the integer in the first column of the first row, or 0.
func (c *conn) number(query string, args ...any) (n int64, err error) {
	_, err = c.first(query, func(r row) error { n = r.int(0); return nil }, args...)
	return n, err
}

// exists reports whether the query has a row.
func (c *conn) exists(query string, args ...any) (bool, error) {
	return c.first(query, func(row) error { return nil }, args...)
}

// code returns the SQLite result code of an error, or 0.
func code(err error) int {
	if e, ok := errors.AsType[*driversqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// damaged reports whether the error says that the file is.
func damaged(err error) bool {
	switch code(err) & 0xff {
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return true
	}
	return false
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
