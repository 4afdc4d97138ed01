package dispatcher

import (
	"fmt"
	"strings"
	"sync"

	"hookferry/shared/filter"
	"hookferry/shared/relay"
)

// A filters keeps the patterns of endpoints ready for use, those of one body
// together. It is safe for concurrent use.
type filters struct {
	mu   sync.Mutex
	sets map[string]*filter.Set // by the patterns' texts
}

// maxSets is how many sets are kept. An account has one for each format that its
// endpoints take, as long as nobody edits them.
const maxSets = 1000

func (f *filters) set(patterns []string) (*filter.Set, error) {
	key := strings.Join(patterns, "\n") // which the canonical form does not have
	f.mu.Lock()
	set := f.sets[key]
	f.mu.Unlock()
	if set != nil {
		return set, nil
	}
	parsed := make([]*filter.Pattern, len(patterns))
	for i, text := range patterns {
		var err error
		if parsed[i], err = filter.Parse([]byte(text)); err != nil {
			return nil, fmt.Errorf("read a stored filter: %w", err)
		}
	}
	set = filter.NewSet(parsed...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sets == nil || len(f.sets) >= maxSets {
		f.sets = map[string]*filter.Set{}
	}
	f.sets[key] = set
	return set, nil
}

// held returns the endpoints whose filters let the event through, of those that
// have one. The body is read once for each format, however many there are.
//
// A filter that cannot be read is of a newer version: the message comes again,
// for one that knows it. A body that cannot be had in a format is not judged
// here; what becomes of its deliveries is said where they are made.
func (f *filters) held(b *bodies, endpoints []relay.Endpoint) (map[string]bool, error) {
	held := map[string]bool{}
	for _, format := range []relay.Format{relay.FormatRivya, relay.FormatSivi, relay.FormatVerbatim} {
		var ids, patterns []string
		for _, ep := range endpoints {
			if ep.Format == format && ep.Filter != "" {
				ids, patterns = append(ids, ep.ID), append(patterns, ep.Filter)
			}
		}
		if len(ids) == 0 {
			continue
		}
		set, err := f.set(patterns)
		if err != nil {
			return nil, err
		}
		content, err := b.in(format)
		if err != nil {
			for _, id := range ids {
				held[id] = true
			}
			continue
		}
		results, err := set.Match(content, nil)
		for i, id := range ids {
			held[id] = err == nil && results[i] // what is no JSON object is let through by none
		}
	}
	return held, nil
}
