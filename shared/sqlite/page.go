package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"hookferry/shared/relay"
)

// list is one list of the port: what its positions consist of, and how to read
// it. A position is the values of the key columns, with which each row begins.
type list struct {
	name string
	keys string // one letter for each key column: i an integer, t a text
	desc bool
}

// start returns the key values after which to read: those of the position, or
// ones before the first row.
func (l list) start(after string) ([]any, error) {
	at := make([]any, len(l.keys))
	if after == "" {
		for i, kind := range l.keys {
			switch {
			case kind == 'i' && l.desc:
				at[i] = int64(math.MaxInt64)
			case kind == 'i':
				at[i] = int64(math.MinInt64)
			case l.desc:
				at[i] = "\xff" // after every text
			default:
				at[i] = ""
			}
		}
		return at, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(after)
	if err != nil {
		return nil, relay.ErrCursor
	}
	raw, ok := bytes.CutPrefix(raw, []byte(l.name+":"))
	for i, kind := range l.keys {
		size, n := binary.Uvarint(raw)
		if n <= 0 || size > uint64(len(raw)-n) {
			return nil, relay.ErrCursor
		}
		text := string(raw[n : n+int(size)])
		raw = raw[n+int(size):]
		at[i] = text
		if kind == 'i' {
			if at[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, relay.ErrCursor
			}
		}
	}
	if !ok || len(raw) > 0 {
		return nil, relay.ErrCursor
	}
	return at, nil
}

// position returns the list's name and the key's values, each with its length.
func (l list) position(key []driver.Value) string {
	raw := []byte(l.name + ":")
	for _, v := range key {
		text := fmt.Sprint(v)
		raw = binary.AppendUvarint(raw, uint64(len(text)))
		raw = append(raw, text...)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// page reads one page. The query's parameters are args and then the position's
// values; it yields the rows behind that, keys first. take reports whether the
// row belongs on the page.
func (db *DB) page(ctx context.Context, l list, p relay.Page, query string, args []any, take func(row) (bool, error)) (next string, err error) {
	at, err := l.start(p.After)
	if err != nil {
		return "", err
	}
	limit := min(max(p.Limit, 1), 100)
	taken, examined := 0, 0
	last := make([]driver.Value, len(l.keys))
	err = db.read(ctx, func(c *conn) error {
		return c.each(query+" LIMIT "+lookAhead, func(r row) error {
			if taken == limit || examined == relay.MaxExamined {
				next = l.position(last)
				return errStop
			}
			examined++
			copy(last, r)
			ok, err := take(r)
			if ok {
				taken++
			}
			return err
		}, slices.Concat(args, at)...)
	})
	return next, err
}

// lookAhead is one row more than a page looks at: it tells that there are more.
var lookAhead = strconv.Itoa(relay.MaxExamined + 1)

// texts is the form in which a list of texts is stored; none is the empty text.
func texts[T ~string](list []T) string {
	if len(list) == 0 {
		return ""
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // texts always marshal
	}
	return string(b)
}

func parseTexts[T ~string](s string) (list []T, err error) {
	if s == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return nil, fmt.Errorf("stored list %q: %w", s, err)
	}
	return list, nil
}
