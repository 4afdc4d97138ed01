package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// A style says how text is made to stand out: in colour where a person looks at a
// terminal, not at all where a program or a file takes it.
type style struct{ on bool }

// styleOf returns the style for what is written to w. NO_COLOR, set to anything,
// turns colours off, and so does a terminal that calls itself dumb.
func styleOf(w io.Writer, lookup func(string) (string, bool)) style {
	if no, _ := lookup("NO_COLOR"); no != "" {
		return style{}
	}
	if kind, _ := lookup("TERM"); kind == "dumb" {
		return style{}
	}
	return style{on: isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (s style) wrap(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.wrap("1", text) }
func (s style) dim(text string) string    { return s.wrap("2", text) }
func (s style) red(text string) string    { return s.wrap("31", text) }
func (s style) green(text string) string  { return s.wrap("32", text) }
func (s style) yellow(text string) string { return s.wrap("33", text) }
