package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"hookferry/shared/client"
	"hookferry/shared/relay"
)

// A story draws one event: its head, its timeline and how each delivery stands.
type story struct{ view }

func (s story) draw(ev client.EventDetail) {
	test := ""
	if ev.Test {
		test = ", a test"
	}
	fmt.Fprintf(s.out, "%s  %s  %s\n", s.style.bold(oneLine(ev.ID)), oneLine(ev.Type), s.style.status(oneLine(ev.Status)))
	at := s.when(&ev.CreatedAt)
	if s.terminal {
		at += ", " + relay.FormatTime(ev.CreatedAt)
	}
	s.field("created", at)
	s.field("proven by", ev.VerifiedBy+test)
	if ev.SourceID != nil {
		s.field("source", *ev.SourceID)
	}
	if ev.Subject != nil {
		s.field("subject", *ev.Subject)
	}
	if ev.RejectedBecause != nil {
		s.field("rejected", *ev.RejectedBecause)
	}
	if len(ev.OtherSources) > 0 {
		s.field("also from", strings.Join(ev.OtherSources, ", "))
	}
	s.timeline(ev.Timeline)
	s.attempts(ev)
	s.deliveries(ev)
	s.unmatched(ev.Unmatched)
}

func (s story) field(name, value string) {
	fmt.Fprintf(s.out, "  %s  %s\n", s.style.dim(fmt.Sprintf("%-9s", name)), oneLine(value))
}

// timeline draws the steps, each with its time after the first.
func (s story) timeline(steps []client.Step) {
	if len(steps) == 0 {
		return
	}
	endpoints := map[string]bool{}
	for _, step := range steps {
		if step.EndpointID != nil {
			endpoints[*step.EndpointID] = true
		}
	}
	fmt.Fprintln(s.out)
	first := steps[0].At
	for i, step := range steps {
		at := first.UTC().Format("15:04:05.000")
		if i > 0 {
			at = "+" + short(step.At.Sub(first))
		}
		lead := fmt.Sprintf("  %12s  ", at)
		what := fmt.Sprintf("%-15s", oneLine(strings.ReplaceAll(step.What, "_", " ")))
		text := oneLine(step.Detail)
		if step.EndpointID != nil && len(endpoints) > 1 {
			text = oneLine(*step.EndpointID) + ": " + text
		}
		width := s.width - len(lead) - 3 - len(what) - 1
		lines := []string{text}
		if s.width > 0 {
			lines = wrapText(text, max(width, 24))
		}
		for n, line := range lines {
			if n == 0 {
				fmt.Fprintf(s.out, "%s%s  %s %s\n", s.style.dim(lead), s.mark(step.What), s.style.bold(what), line)
				continue
			}
			fmt.Fprintf(s.out, "%s%s  %s %s\n", strings.Repeat(" ", len(lead)), s.style.dim("│"), strings.Repeat(" ", len(what)), line)
		}
	}
}

// mark says at a glance how a step went.
func (s story) mark(what string) string {
	switch what {
	case "verified", "confirmed", "delivered":
		return s.style.green("✓")
	case "failed", "rejected":
		return s.style.red("✗")
	case "retry_scheduled", "skipped", "not_matched":
		return s.style.yellow("!")
	default:
		return "•"
	}
}

func (s story) attempts(ev client.EventDetail) {
	if len(ev.Attempts) == 0 {
		return
	}
	fmt.Fprintf(s.out, "\n%s\n", s.style.bold("Attempts"))
	t := table{
		columns: []column{
			{"ATTEMPT", false, 0},
			{"STATUS", false, 0},
			{"HTTP", false, 0},
			{"TOOK", false, 2},
			{"AT", false, 0},
			{"ANSWER", true, 1},
			{"ID", false, 3},
			{"ENDPOINT", false, 4},
		},
		color: func(i int, text string) string {
			return map[bool]string{true: s.style.status(text), false: text}[i == 1]
		},
	}
	for i := len(ev.Attempts) - 1; i >= 0; i-- { // the oldest first, as in the timeline
		a := ev.Attempts[i]
		t.add(attemptName(a), a.Status, httpStatus(a), short(time.Duration(a.DurationMS)*time.Millisecond), s.when(&a.CreatedAt),
			answerText(a), a.ID, a.EndpointID)
	}
	t.write(s.out, s.style, s.width)
}

// attemptName is an attempt's number, and its run where it is not the first.
func attemptName(a client.Attempt) string {
	if a.Run > 0 {
		return fmt.Sprintf("%d of run %d", a.Attempt, a.Run)
	}
	return fmt.Sprint(a.Attempt)
}

func httpStatus(a client.Attempt) string {
	if a.HTTPStatus == nil {
		return "-"
	}
	return fmt.Sprint(*a.HTTPStatus)
}

// answerText is what an attempt met: its error, else what the endpoint said.
func answerText(a client.Attempt) string {
	switch {
	case a.Error != nil && a.HTTPStatus == nil:
		return a.Error.Code + ": " + a.Error.Message
	case a.ResponseSnippet != nil && *a.ResponseSnippet != "":
		return *a.ResponseSnippet
	case a.Error != nil:
		return a.Error.Code
	}
	return "-"
}

func (s story) deliveries(ev client.EventDetail) {
	if len(ev.Deliveries) == 0 {
		return
	}
	fmt.Fprintf(s.out, "\n%s\n", s.style.bold("Deliveries"))
	t := table{
		columns: []column{{"ENDPOINT", false, 0}, {"STATUS", false, 0}, {"ATTEMPTS", false, 0}, {"NEXT ATTEMPT", false, 1}},
		color: func(i int, text string) string {
			return map[bool]string{true: s.style.status(text), false: text}[i == 1]
		},
	}
	for _, d := range ev.Deliveries {
		t.add(d.EndpointID, d.Status, fmt.Sprint(d.Attempts), s.when(d.NextAttemptAt))
	}
	t.write(s.out, s.style, s.width)
}

func (s story) unmatched(list []client.Unmatched) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(s.out, "\n%s\n", s.style.bold("Not sent to"))
	why := map[string]string{
		"event_type": "does not want this type", "source": "does not want this source",
		"format": "wants a format that this event has not", "filter": "its filter does not let the event through",
	}
	for _, u := range list {
		text := why[u.Reason]
		if text == "" {
			text = u.Reason
		}
		if said := detailSentence(u.Detail); said != "" {
			text += ": " + said
		}
		fmt.Fprintf(s.out, "  %s  %s\n", oneLine(u.EndpointID), oneLine(text))
	}
}

// detailSentence is what the relay says of why an event was not let through.
func detailSentence(raw []byte) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var detail struct{ Sentence string }
	_ = json.Unmarshal(raw, &detail) // of another form: nothing is said of it
	return detail.Sentence
}
