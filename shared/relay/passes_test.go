package relay

import (
	"strings"
	"testing"
)

func TestPasses(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   int
	}{
		{nil, 0},
		{[]string{""}, 0},
		{[]string{"0"}, 0},
		{[]string{"3"}, 3},
		{[]string{" 3 "}, 3},
		{[]string{"1", "4"}, 4},
		{[]string{"1, 4"}, 4},
		{[]string{"-2"}, 0},
		{[]string{"x"}, 0},
		{[]string{"3x"}, 0},
		{[]string{"1e1"}, 0},
		{[]string{"7"}, MaxPasses},
		{[]string{strings.Repeat("9", 40)}, MaxPasses},
		{[]string{"٣"}, 0},
	} {
		if got := ParsePasses(c.values); got != c.want {
			t.Errorf("%q: got %d, want %d", c.values, got, c.want)
		}
	}
}

func TestTraceParent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, c := range []struct {
		values []string
		want   string
	}{
		{[]string{good}, good},
		{[]string{"cc" + good[2:] + "-later"}, "cc" + good[2:] + "-later"},
		{nil, ""},
		{[]string{good, good}, ""},
		{[]string{good + "-more"}, ""},
		{[]string{"cc" + good[2:] + "x"}, ""},
		{[]string{"cc" + good[2:] + "-\r\nX: y"}, ""},
		{[]string{"ff" + good[2:]}, ""},
		{[]string{strings.ToUpper(good)}, ""},
		{[]string{"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"}, ""},
		{[]string{"00-4bf92f3577b34da6a3ce929d0e0e4736-" + strings.Repeat("0", 16) + "-01"}, ""},
		{[]string{strings.ReplaceAll(good, "-", "_")}, ""},
		{[]string{good[:54]}, ""},
		{[]string{"cc" + good[2:] + "-" + strings.Repeat("a", 200)}, ""},
	} {
		if got := ParseTraceParent(c.values); got != c.want {
			t.Errorf("%q: got %q, want %q", c.values, got, c.want)
		}
	}
}
