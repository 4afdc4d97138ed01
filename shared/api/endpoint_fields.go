package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hookferry/events"
	"hookferry/shared/filter"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// Bounds of an endpoint's lists.
const (
	maxEventTypes = 50
	maxSourceIDs  = 100
)

// endpointFields are the fields of an endpoint that a client sets; nil: not
// given.
type endpointFields struct {
	Name, URL  *string
	EventTypes *[]string
	Status     *relay.Status
	Format     *relay.Format
	Signatures *[]relay.Scheme
	SourceIDs  *[]string
	Filter     *string // empty: none
}

// take reads the fields that are optional in every call.
func (f *endpointFields) take(o *object) {
	f.Status = field(o, "status", oneOf(relay.Active, relay.Disabled))
	f.Format = field(o, "format", oneOf(relay.FormatRivya, relay.FormatSivi, relay.FormatVerbatim))
	f.Signatures = field(o, "signatures", someSchemes)
	f.SourceIDs = field(o, "source_ids", listOf(0, maxSourceIDs, aString))
	f.Filter = field(o, "filter", aFilter)
}

// aFilter reads an event pattern and returns its canonical form; null for none.
// What is wrong with it is said of the place where it is wrong.
func aFilter(param string, raw json.RawMessage) (string, error) {
	if rawjson.IsNull(raw) {
		return "", nil
	}
	p, err := filter.Parse(raw)
	if wrong, ok := errors.AsType[*filter.Error](err); ok {
		at := relay.Printable(cut(param+strings.TrimPrefix(wrong.Path, "$"), 256))
		return "", relay.Invalid(at, "%s: %s.", at, relay.Printable(wrong.Problem))
	}
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// anEventType reads what an endpoint may subscribe to: "*", or the name of a
// type, which must be in the catalogue where its prefix is ours.
func anEventType(param string, raw json.RawMessage) (string, error) {
	typ, err := aString(param, raw)
	if err != nil || typ == "*" {
		return typ, err
	}
	if relay.ValidTypePrefix(typ) {
		// One of a family of ours must stand for something.
		if known := slices.ContainsFunc(events.Catalogue(), func(t events.Type) bool { return relay.TypeFits([]string{typ}, t.Name) }); !known && ours(typ) {
			return "", relay.Invalid(param, "No event type begins like %q; GET /api/v1/event-types lists them.", typ)
		}
		return typ, nil
	}
	return typ, checkType(param, typ)
}

// ours reports whether a type, or a prefix of types, is of a family whose types
// are those of the catalogue.
func ours(typ string) bool { return relay.ReservedType(typ) || strings.HasPrefix(typ, "generation.") }

func checkType(param, typ string) error {
	if !relay.ValidEventType(typ) {
		return relay.Invalid(param, "%s must be lower-case words joined by dots, like order.paid, at most 128 characters.", param)
	}
	if _, known := events.Lookup(typ); !known && ours(typ) {
		return relay.Invalid(param, "There is no event type %q; GET /api/v1/event-types lists them.", typ)
	}
	return nil
}

// someSchemes reads signatures, of which rivya is always one.
func someSchemes(param string, raw json.RawMessage) ([]relay.Scheme, error) {
	schemes, err := listOf(1, 10, oneOf(relay.SchemeRivya, relay.SchemeStandard, relay.SchemeStandardEd25519))(param, raw)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(schemes, relay.SchemeRivya) {
		return nil, relay.Invalid(param, "%s must have rivya, which every delivery carries; standard and standard-ed25519 can be added.", param)
	}
	slices.Sort(schemes)
	return schemes, nil
}

// checkEndpointFields judges what the field alone does not tell.
func (s *server) checkEndpointFields(c *call, f endpointFields) error {
	if f.URL != nil {
		if err := s.checkURL(c, *f.URL); err != nil {
			return &relay.Error{Kind: relay.KindURLRejected, Param: "url", Detail: sentence(err.Error())}
		}
	}
	if f.SourceIDs == nil {
		return nil
	}
	for i, id := range *f.SourceIDs {
		err := relay.ErrNotFound
		if validID(relay.SourcePrefix, id) {
			_, err = s.Store.Source(c.ctx(), c.account(), id)
		}
		if errors.Is(err, relay.ErrNotFound) {
			return relay.Invalid(fmt.Sprintf("source_ids[%d]", i), "There is no source %q.", cut(id, 64))
		}
		if err != nil {
			return fmt.Errorf("read source %s: %w", id, err)
		}
	}
	return nil
}

// sentence makes a sentence of a message.
func sentence(s string) string {
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// apply sets the fields and returns the names of those that differ from what
// the endpoint has.
func (f endpointFields) apply(ep *relay.Endpoint, now time.Time) (changed []string) {
	set := func(name string, differs bool, apply func()) {
		if differs {
			apply()
			changed = append(changed, name)
		}
	}
	set("name", f.Name != nil && *f.Name != ep.Name, func() { ep.Name = *f.Name })
	set("url", f.URL != nil && *f.URL != ep.URL, func() { ep.URL = *f.URL })
	set("event_types", f.EventTypes != nil && !slices.Equal(*f.EventTypes, ep.EventTypes), func() { ep.EventTypes = *f.EventTypes })
	set("format", f.Format != nil && *f.Format != ep.Format, func() { ep.Format = *f.Format })
	set("signatures", f.Signatures != nil && !slices.Equal(*f.Signatures, ep.Signatures), func() { ep.Signatures = *f.Signatures })
	set("source_ids", f.SourceIDs != nil && !slices.Equal(*f.SourceIDs, ep.SourceIDs), func() { ep.SourceIDs = *f.SourceIDs })
	set("filter", f.Filter != nil && *f.Filter != ep.Filter, func() { ep.Filter = *f.Filter })
	// An endpoint that is disabled already keeps its time and reason.
	set("status", f.Status != nil && *f.Status != ep.Status, func() {
		if *f.Status == relay.Disabled {
			ep.Disable(relay.DisabledManual, now)
			return
		}
		activate(ep)
	})
	return changed
}

// activate undoes Disable.
func activate(ep *relay.Endpoint) {
	ep.Status, ep.DisabledReason, ep.DisabledAt = relay.Active, "", time.Time{}
}

// overlapSeconds reads how long an old secret or token stays good.
var overlapSeconds = anInteger(0, 604800)

const defaultOverlap = 24 * time.Hour

// overlap reads a body that has overlap_seconds alone, or nothing.
func (c *call) overlap() (time.Duration, error) {
	o, err := c.object()
	if err != nil {
		return 0, err
	}
	seconds := field(o, "overlap_seconds", overlapSeconds)
	if err := o.done(); err != nil {
		return 0, err
	}
	return overlapOf(seconds), nil
}

func overlapOf(seconds *int) time.Duration {
	if seconds == nil {
		return defaultOverlap
	}
	return time.Duration(*seconds) * time.Second
}

// reseal moves a secret to another field of its object, where it is good until
// the time given; with no overlap, or no secret, there is nothing to keep.
func (s *server) reseal(sealed relay.Sealed, from seal.Place, field string, until time.Time, overlap time.Duration) (relay.Sealed, time.Time, error) {
	if overlap == 0 || sealed == "" {
		return "", time.Time{}, nil
	}
	secret, err := s.Keys.Open(sealed, from)
	if err != nil {
		return "", time.Time{}, err
	}
	from.Field = field
	return s.Keys.Seal(secret, from), until, nil
}
