package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A column of a table. Where a line is too short, columns that give way are cut to
// a readable rest, the longest most; then the optional ones are left out, those with
// the highest number first; then what gives way is cut further.
type column struct {
	title    string
	givesWay bool
	optional int
}

// A table is rows under titles. Its cells are texts of strangers: they are made
// printable when it is written.
type table struct {
	columns []column
	rows    [][]string
	color   func(column int, text string) string // of a cell; nil: none
}

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = oneLine(c)
	}
	t.rows = append(t.rows, cells)
}

const (
	gap     = 2  // between columns
	rest    = 22 // what a column that gives way keeps while others can be left out
	restMin = 8  // and when none can
)

// write writes the table in lines of at most width characters; 0 is any number.
func (t *table) write(w io.Writer, s style, width int) {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = utf8.RuneCountInString(c.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	if width > 0 {
		t.fit(widths, width)
	}
	line := func(cells []string, paint func(i int, text string) string) {
		var out strings.Builder
		blanks := 0
		for i, cell := range cells {
			if widths[i] == 0 {
				continue // left out
			}
			text := cut(cell, widths[i])
			out.WriteString(strings.Repeat(" ", blanks))
			out.WriteString(paint(i, text))
			blanks = widths[i] - utf8.RuneCountInString(text) + gap
		}
		fmt.Fprintln(w, out.String())
	}
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i] = c.title
	}
	line(titles, func(_ int, text string) string { return s.dim(text) })
	for _, row := range t.rows {
		line(row, func(i int, text string) string {
			if t.color == nil || text != row[i] {
				return text
			}
			return t.color(i, text)
		})
	}
}

// fit makes the widths add up to at most width. A column that is left out gets 0.
func (t *table) fit(widths []int, width int) {
	total := func() int {
		sum := -gap
		for _, n := range widths {
			if n > 0 {
				sum += n + gap
			}
		}
		return sum
	}
	shorten := func(least int) bool {
		longest := -1
		for i, c := range t.columns {
			if c.givesWay && widths[i] > least && (longest < 0 || widths[i] > widths[longest]) {
				longest = i
			}
		}
		if longest >= 0 {
			widths[longest]--
		}
		return longest >= 0
	}
	leaveOut := func() bool {
		last := -1
		for i, c := range t.columns {
			if c.optional > 0 && widths[i] > 0 && (last < 0 || c.optional > t.columns[last].optional) {
				last = i
			}
		}
		if last >= 0 {
			widths[last] = 0
		}
		return last >= 0
	}
	for total() > width && (shorten(rest) || leaveOut() || shorten(restMin)) {
	}
}

// cut shortens text to n characters, the last of them saying that more was there.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:max(n-1, 0)]) + "…"
}
