package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"hookferry/shared/config"
)

// settingsNote marks a command that reads the settings, so that -h lists them.
const settingsNote = "settings"

// withSettings adds the environment variables to what -h says of a command.
func withSettings(c *cobra.Command) *cobra.Command {
	c.Annotations = map[string]string{settingsNote: "yes"}
	return c
}

// writeHelp explains a command: what it is for, how it is written, its commands or
// flags, and examples.
func writeHelp(p program, c *cobra.Command) {
	w, s := p.out, styleOf(p.out, p.lookup)
	width := min(columns(w, p.lookup, 80), 100)
	about := c.Long
	if about == "" {
		about = c.Short
	}
	fmt.Fprintf(w, "%s\n\n%s %s\n", strings.TrimSpace(about), s.bold("Usage:"), usageLine(c))
	if c.HasAvailableSubCommands() {
		writeCommands(w, s, c, width)
	}
	if flags := flagLines(c.LocalFlags(), width); flags != "" {
		fmt.Fprintf(w, "\n%s\n%s", s.bold("Flags, with one dash or two:"), flags)
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\n%s\n", s.bold("Examples:"))
		for line := range strings.Lines(c.Example) {
			fmt.Fprintf(w, "  %s\n", strings.TrimSpace(line))
		}
	}
	if c.Annotations[settingsNote] != "" {
		fmt.Fprintf(w, "\n%s\n", s.bold("Settings, from the environment:"))
		var rows [][2]string
		for _, v := range config.Variables() {
			about := v.Meaning
			if v.Default != "" {
				about += " (default " + v.Default + ")"
			}
			if v.DevDefault != "" {
				about = strings.TrimSuffix(about, ")") + "; in dev " + v.DevDefault + ")"
			}
			rows = append(rows, [2]string{v.Name, about})
		}
		fmt.Fprint(w, twoColumns(rows, width))
	}
	switch {
	case !c.HasParent():
		fmt.Fprintf(w, "\nhookferry COMMAND -h explains a command. It exits with 0 when it has done what it\nsays, %d when that failed, %d when the command line is wrong, %d when there is no such\nthing, and %d when the key is not taken.\n",
			exitFailed, exitUsage, exitNotFound, exitDenied)
	case c.HasAvailableSubCommands():
		fmt.Fprintf(w, "\n%s COMMAND -h explains one.\n", c.CommandPath())
	}
}

func usageLine(c *cobra.Command) string {
	switch {
	case c.HasAvailableSubCommands():
		return c.CommandPath() + " COMMAND [flags]"
	case c.HasAvailableLocalFlags():
		return c.UseLine() + " [flags]"
	default:
		return c.UseLine()
	}
}

// writeCommands lists the commands of c, by group where it has groups.
func writeCommands(w io.Writer, s style, c *cobra.Command, width int) {
	list := func(title, group string) {
		var rows [][2]string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == group {
				rows = append(rows, [2]string{sub.Name(), sub.Short})
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(w, "\n%s\n%s", s.bold(title), twoColumns(rows, width))
		}
	}
	for _, g := range c.Groups() {
		list(g.Title, g.ID)
	}
	list(map[bool]string{true: "Besides:", false: "Commands:"}[len(c.Groups()) > 0], "")
}

// flagLines lists flags with what they mean.
func flagLines(flags *pflag.FlagSet, width int) string {
	var rows [][2]string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		_, about := pflag.UnquoteUsage(f)
		left := "-" + f.Name
		if f.NoOptDefVal == "" {
			left += " " + valueName(f)
		}
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "0s" && d != "[]" {
			about += fmt.Sprintf(" (default %s)", d)
		}
		rows = append(rows, [2]string{left, about})
	})
	return twoColumns(rows, width)
}

// valueName is what stands for a flag's value in help.
func valueName(f *pflag.Flag) string {
	name, _ := pflag.UnquoteUsage(f)
	switch name {
	case "int":
		return "N"
	case "string":
		return "TEXT"
	case "duration":
		return "TIME"
	}
	return name
}

// twoColumns sets rows of a name and a text, the texts wrapped beside the names.
func twoColumns(rows [][2]string, width int) string {
	const most = 28
	left := 0
	for _, r := range rows {
		if n := len([]rune(r[0])); n <= most {
			left = max(left, n)
		}
	}
	var out strings.Builder
	for _, r := range rows {
		name := r[0]
		if len([]rune(name)) > left { // on a line of its own
			fmt.Fprintf(&out, "  %s\n", name)
			name = ""
		}
		for _, line := range wrapText(r[1], max(width-left-5, 30)) {
			fmt.Fprintf(&out, "  %-*s   %s\n", left, name, line)
			name = ""
		}
	}
	return out.String()
}

// wrapText breaks text into lines of at most width runes, between words.
func wrapText(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len([]rune(*last))+1+len([]rune(word)) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// columns is how many characters fit a line of w: those of the terminal, else what
// COLUMNS says, else otherwise; 0 stands for no limit.
func columns(w io.Writer, lookup func(string) (string, bool), otherwise int) int {
	if text, ok := lookup("COLUMNS"); ok {
		var n int
		if _, err := fmt.Sscanf(text, "%d", &n); err == nil && n >= 20 {
			return n
		}
	}
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n >= 20 {
			return n
		}
	}
	return otherwise
}
