package relaytest

import (
	"slices"
	"strings"
)

// A Budget says how much may go wrong in one schedule.
type Budget struct {
	Faults     int // calls that fail, with or without their effect; losses; stale reads
	Deaths     int // of processes
	Duplicates int // messages that are received twice
	Total      int // of all three
}

// allows reports whether a schedule in which this went wrong is within the budget.
func (b Budget) allows(names []string) bool {
	var used Budget
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "death"):
			used.Deaths++
		case strings.Contains(name, " duplicate "):
			used.Duplicates++
		default:
			used.Faults++
		}
	}
	return used.Faults <= b.Faults && used.Deaths <= b.Deaths && used.Duplicates <= b.Duplicates &&
		len(names) <= b.Total
}

// Enumerate runs every schedule that is within the budget, once. run runs a world
// under a script and reports whether to go on. The schedules form a tree: below
// each are those that say yes at one more point, which comes after its last; so
// each is come to in one way alone. part and parts choose a share of the tree, so
// that several can be walked at once: part i of n, from 0, takes every n-th branch
// at the root, and the root itself.
//
// Enumerate reports whether it ran all of its share.
func Enumerate(b Budget, part, parts int, run func(*Script) bool) (all bool) {
	all = true
	var walk func(yes []int, names []string)
	walk = func(yes []int, names []string) {
		s := NewScript(yes...)
		if !run(s) {
			all = false
			return
		}
		points := s.Points()
		from := 0
		if len(yes) > 0 {
			from = yes[len(yes)-1] + 1
		}
		for i := from; i < len(points) && all; i++ {
			if len(yes) == 0 && i%parts != part {
				continue
			}
			if more := append(slices.Clip(names), points[i]); b.allows(more) {
				walk(append(slices.Clip(yes), i), more)
			}
		}
	}
	walk(nil, nil)
	return all
}
