package api

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hookferry/shared/relay"
)

// maxEventAttempts is how many attempts an event shows, the newest.
const maxEventAttempts = 100

// wireTimelineEntry is one thing that happened to an event.
type wireTimelineEntry struct {
	At         moment  `json:"at"`
	What       string  `json:"what"`
	EndpointID *string `json:"endpoint_id"`
	Attempt    *int    `json:"attempt"`
	Run        *int    `json:"run"`
	Detail     string  `json:"detail"`
}

// A timeline collects what happened to an event.
type timeline struct {
	r       relay.EventRecord
	entries []wireTimelineEntry
}

// timelineOf tells the story of an event, oldest first, from what is on record of
// it. Its attempts are given the newest first.
func timelineOf(r relay.EventRecord, ds []relay.Delivery, attempts []relay.Attempt) []wireTimelineEntry {
	t := &timeline{r: r, entries: []wireTimelineEntry{}}
	t.accepted()
	t.settled(ds, attempts)
	t.attempts(attempts)
	// What happened in one millisecond stays in the order in which it was told.
	slices.SortStableFunc(t.entries, func(a, b wireTimelineEntry) int { return time.Time(a.At).Compare(time.Time(b.At)) })
	return t.entries
}

func (t *timeline) add(at time.Time, what, endpoint, detail string, args ...any) *wireTimelineEntry {
	t.entries = append(t.entries, wireTimelineEntry{
		At: moment(at), What: what, EndpointID: textOrNull(endpoint), Detail: fmt.Sprintf(detail, args...),
	})
	return &t.entries[len(t.entries)-1]
}

// accepted tells how the event came and where it went.
func (t *timeline) accepted() {
	came := map[relay.Verification]string{
		relay.VerifiedByKey:   "It was published with an API key.",
		relay.VerifiedByFetch: "It was found by asking Sivi, whose call had not come.",
	}
	proved := map[relay.Verification]string{
		relay.VerifiedBySignature:  "The signature of the call was right.",
		relay.VerifiedByToken:      "The token in the URL of the call was right.",
		relay.VerifiedByTokenFetch: "The token in the URL of the call was right.",
		relay.VerifiedByFetch:      "Sivi itself answered so.",
		relay.VerifiedByKey:        "The API key was right.",
	}
	how, ok := came[t.r.VerifiedBy]
	switch {
	case t.r.Only != "":
		how = "A test of the endpoint was asked for."
	case !ok:
		how = "A call to the source brought it."
	}
	created, recorded := t.r.CreatedAt, t.r.RecordedAt
	if recorded.IsZero() {
		recorded = created
	}
	t.add(created, "received", "", "%s", how)
	t.add(created, "verified", "", "%s", proved[t.r.VerifiedBy])
	t.add(recorded, "recorded", "", "It was put on record and matched with the endpoints of the account.")
	disabled := map[string]bool{}
	for _, u := range t.r.Unmatched {
		disabled[u.EndpointID] = u.Reason == relay.MismatchDisabled
	}
	for _, id := range t.r.Matched {
		if disabled[id] {
			t.add(recorded, "matched", id, "It matched the endpoint, which was disabled.")
			continue
		}
		t.add(recorded, "matched", id, "It matched the endpoint.")
	}
	for _, u := range shownUnmatched(t.r) {
		t.add(recorded, "not_matched", u.EndpointID, "%s", whyUnmatched(u.Reason, t.r.Type))
	}
}

// shownUnmatched returns the endpoints that an event did not go to, for a reason
// of their own.
func shownUnmatched(r relay.EventRecord) []relay.Unmatched {
	var shown []relay.Unmatched
	for _, u := range r.Unmatched {
		if u.Reason != relay.MismatchOnly && u.Reason != relay.MismatchDisabled {
			shown = append(shown, u)
		}
	}
	return shown
}

func whyUnmatched(why relay.Mismatch, typ string) string {
	switch why {
	case relay.MismatchType:
		return fmt.Sprintf("The endpoint does not ask for %s.", typ)
	case relay.MismatchSource:
		return "The endpoint does not take events of this source."
	case relay.MismatchFilter:
		return "The endpoint's filter did not let it through."
	case relay.MismatchFormat:
		return "The endpoint takes a format in which this event cannot be sent."
	}
	return "The endpoint did not take it."
}

// settled tells what Sivi said about the event.
func (t *timeline) settled(ds []relay.Delivery, attempts []relay.Attempt) {
	a := t.r.Answer
	switch a.Outcome {
	case relay.DeliverySucceeded:
		t.add(a.At, "confirmed", "", "%s", a.Said)
		for _, d := range ds {
			// One that was skipped for another reason has an attempt that says so.
			if d.EndpointID != relay.Confirmation && d.Status == relay.DeliverySkipped && d.Run == 0 &&
				!slices.ContainsFunc(attempts, func(a relay.Attempt) bool { return a.EndpointID == d.EndpointID }) {
				t.add(a.At, "skipped", d.EndpointID, "The same outcome of the request has been relayed as another event.")
			}
		}
	case relay.DeliveryRejected:
		t.add(a.At, "rejected", "", "%s", a.Said)
	case relay.DeliverySkipped:
		t.add(a.At, "skipped", "", "%s", strings.TrimSuffix(a.Said, ".")+", so the event was relayed as it came.")
	}
}

// attempts tells of the calls, and of the runs that were started by hand.
func (t *timeline) attempts(newest []relay.Attempt) {
	told := map[string]bool{}
	for _, a := range slices.Backward(newest) {
		run := fmt.Sprint(a.Run, " ", a.EndpointID)
		if a.Run > 0 && !told[run] {
			told[run] = true
			if a.Number == 1 { // else its beginning is too long ago to be shown
				t.replayed(a.EndpointID, a.Run, a.DueAt)
			}
		}
		t.attempt(a)
	}
	for _, id := range runEndpoints(t.r) {
		if run := t.r.Runs[id]; !told[fmt.Sprint(run.Number, " ", id)] {
			t.replayed(id, run.Number, run.StartedAt)
		}
	}
}

func (t *timeline) replayed(endpoint string, run int, at time.Time) {
	how := "by hand"
	if latest := t.r.Runs[endpoint]; latest.Number == run && strings.HasPrefix(latest.Token, relay.ReplayPrefix) {
		how = "by the replay " + latest.Token
	}
	t.add(at, "replayed", endpoint, "Run %d was started %s.", run, how).Run = &run
}

func (t *timeline) attempt(a relay.Attempt) {
	say := func(at time.Time, what, detail string, args ...any) {
		e := t.add(at, what, a.EndpointID, detail, args...)
		e.Attempt, e.Run = &a.Number, &a.Run
	}
	end := a.CreatedAt.Add(a.Duration)
	switch {
	case a.Status == relay.AttemptSkipped:
		say(a.CreatedAt, "skipped", "%s", a.ErrorMessage)
		return
	case a.HTTPStatus != 0:
		say(a.CreatedAt, "attempted", "Attempt %d was answered with status %d after %s.", a.Number, a.HTTPStatus, shortly(a.Duration))
	case a.URL != "" || a.Duration > 0:
		say(a.CreatedAt, "attempted", "Attempt %d got no answer: %s", a.Number, within(a.ErrorMessage))
	}
	switch {
	case a.Status == relay.AttemptSucceeded:
		say(end, "delivered", "The endpoint took it at attempt %d.", a.Number)
	case a.Final && a.HTTPStatus == 0 && a.URL == "" && a.Duration == 0:
		say(end, "failed", "%s", a.ErrorMessage)
	case a.Final:
		say(end, "failed", "No attempt of this run follows.")
	default:
		say(end, "retry_scheduled", "Attempt %d is due at %s.", a.Number+1, relay.FormatTime(a.NextAttemptAt))
	}
}

// shortly writes a duration for people.
func shortly(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// within returns a sentence as it reads after a colon.
func within(sentence string) string {
	first, size := utf8.DecodeRuneInString(sentence)
	if next, _ := utf8.DecodeRuneInString(sentence[size:]); unicode.IsUpper(first) && unicode.IsLower(next) {
		return string(unicode.ToLower(first)) + sentence[size:]
	}
	return sentence
}

// runEndpoints returns the endpoints that an event was run again to, in order.
func runEndpoints(r relay.EventRecord) []string {
	var all []string
	for id := range r.Runs {
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}
