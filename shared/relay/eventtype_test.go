package relay

import (
	"strings"
	"testing"
)

func TestEventTypesAreDottedLowerCaseWords(t *testing.T) {
	for name, want := range map[string]bool{
		"generation.succeeded":               true,
		"webhook.test":                       true,
		"order.line_item.v2.created":         true,
		"a.b":                                true,
		"":                                   false,
		"ping":                               false,
		".a":                                 false,
		"a.":                                 false,
		"a..b":                               false,
		"a.2b":                               false,
		"a._b":                               false,
		"Generation.succeeded":               false,
		"generation.succeeded ":              false,
		"generation-x.done":                  false,
		"génération.ok":                      false,
		"a.\x00":                             false,
		"*":                                  false,
		"a." + strings.Repeat("b", 126):      true,
		"a." + strings.Repeat("b", 127):      false,
		"generation.succeeded\ngeneration.x": false,
	} {
		if got := ValidEventType(name); got != want {
			t.Errorf("ValidEventType(%q) = %v, want %v", name, got, want)
		}
	}
}
