package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// Activity is kept in the item of an endpoint's counters, so that it costs no
// request, and one attribute for each stretch in which something happened, so
// that concurrent writers only add:
//
//	ym<minute>      yq<quarter>       delivered × 10^9 + failed
//	za<minute><src> zb<quarter><src>  accepted; src is a short hash of the source
//	zl<source>                        the last call
//
// Stretches are numbered from 1970 on, in base 36. Nothing deletes an attribute
// by itself, so each write takes out what an earlier one of this process saw to
// be too old.
const (
	minuteAttempts   = "ym"
	quarterAttempts  = "yq"
	minuteAccepted   = "za"
	quarterAccepted  = "zb"
	lastCall         = "zl"
	stretchDigits    = 5 // until 2083
	sourceHashDigits = 6

	attemptsUnit = 1_000_000_000
	// maxStale is how many attributes one write takes out, staleEndpoints of how
	// many endpoints they are known.
	maxStale       = 100
	staleEndpoints = 1000
)

func stretch(t time.Time, step time.Duration) string {
	n := strconv.FormatInt(t.UnixMilli()/step.Milliseconds(), 36)
	return strings.Repeat("0", max(0, stretchDigits-len(n))) + n
}

func sourceHash(source string) string {
	if source == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(source))
	return hex.EncodeToString(sum[:sourceHashDigits/2])
}

// activityUpdate returns the clauses that count tallies, and sets their values.
func activityUpdate(tallies []relay.Tally, values item) (set, add []string) {
	sums, last := map[string]int64{}, map[string]time.Time{}
	for _, t := range tallies {
		attempts := int64(t.Delivered)*attemptsUnit + int64(t.Failed)
		hash := sourceHash(t.SourceID)
		for _, s := range []struct {
			step               time.Duration
			attempts, accepted string
		}{
			{relay.ActivityMinute, minuteAttempts, minuteAccepted}, {relay.ActivityQuarter, quarterAttempts, quarterAccepted},
		} {
			sums[s.attempts+stretch(t.At, s.step)] += attempts
			sums[s.accepted+stretch(t.At, s.step)+hash] += int64(t.Accepted)
		}
		if nameable(t.SourceID) && t.LastAt.After(last[t.SourceID]) {
			last[t.SourceID] = t.LastAt
		}
	}
	i := 0
	for name, n := range sums {
		if n != 0 {
			value := fmt.Sprint(":y", i)
			values[value] = numberValue(n)
			add = append(add, name+" "+value)
			i++
		}
	}
	for source, at := range last {
		value := fmt.Sprint(":y", i)
		values.setTime(value, at)
		set = append(set, lastCall+source+" = "+value)
		i++
	}
	return set, add
}

// nameable reports whether an attribute's name may end with the source; every one
// that we have made may.
func nameable(source string) bool {
	return source != "" && !strings.ContainsFunc(source, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '_'
	})
}

// Activity implements relay.Store.
func (s *Store) Activity(ctx context.Context, step time.Duration, since time.Time, endpoints ...string) (map[string]relay.Activity, error) {
	all := make(map[string]relay.Activity, len(endpoints))
	var keys []key
	for _, id := range endpoints {
		if _, twice := all[id]; !twice {
			all[id] = relay.Activity{}
			keys = append(keys, countersKey(id))
		}
	}
	found, err := s.items(ctx, keys, false)
	if err != nil {
		return nil, fmt.Errorf("read activity: %w", err)
	}
	for k, it := range found {
		all[strings.TrimPrefix(k.pk, "C#")] = activityOf(it, step, since)
	}
	return all, nil
}

func activityOf(it item, step time.Duration, since time.Time) relay.Activity {
	a := relay.Activity{LastCalls: map[string]time.Time{}}
	sources := map[string]string{"": ""}
	for name := range it {
		if source, ok := strings.CutPrefix(name, lastCall); ok {
			a.LastCalls[source] = it.time(name)
			sources[sourceHash(source)] = source
		}
	}
	attempts, accepted := minuteAttempts, minuteAccepted
	if step == relay.ActivityQuarter {
		attempts, accepted = quarterAttempts, quarterAccepted
	}
	for name := range it {
		at, rest, ok := cutStretch(name, step)
		if !ok || at.Before(since) {
			continue
		}
		n := it.int(name)
		switch source, known := sources[rest]; {
		case strings.HasPrefix(name, attempts) && rest == "":
			a.Tallies = append(a.Tallies, relay.Tally{At: at, Delivered: int(n / attemptsUnit), Failed: int(n % attemptsUnit)})
		case strings.HasPrefix(name, accepted) && known:
			a.Tallies = append(a.Tallies, relay.Tally{At: at, SourceID: source, Accepted: int(n)})
		}
	}
	return a
}

// cutStretch reads the stretch in the name of an attribute, and what follows it.
func cutStretch(name string, step time.Duration) (at time.Time, rest string, ok bool) {
	if len(name) < 2+stretchDigits {
		return at, "", false
	}
	n, err := strconv.ParseInt(name[2:2+stretchDigits], 36, 64)
	return time.UnixMilli(n * step.Milliseconds()).UTC(), name[2+stretchDigits:], err == nil
}

// stale knows which attributes of which endpoints' counters are too old.
type stale struct {
	mu    sync.Mutex
	names map[string][]string // by endpoint
}

// take returns what to take out with the next write.
func (s *stale) take(endpoint string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.names[endpoint]
	delete(s.names, endpoint)
	return names
}

// learn looks for attributes that are too old in the item as a write left it.
func (s *stale) learn(endpoint string, it item, now time.Time) {
	var old []string
	for name := range it {
		if len(old) == maxStale || len(name) < 2 {
			break
		}
		step, kept := relay.ActivityMinute, relay.MinutesKept
		switch name[:2] {
		case quarterAttempts, quarterAccepted:
			step, kept = relay.ActivityQuarter, relay.QuartersKept
		case minuteAttempts, minuteAccepted:
		default:
			continue
		}
		if at, _, ok := cutStretch(name, step); ok && at.Before(now.Add(-kept-step)) {
			old = append(old, name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || len(s.names) >= staleEndpoints {
		s.names = map[string][]string{}
	}
	if len(old) > 0 {
		s.names[endpoint] = old
	}
}
