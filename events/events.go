// Package events is the catalogue: the event types that have a fixed shape, each
// with a JSON Schema (2020-12) of its body in format rivya and a sample, and the
// bodies that Hookferry makes itself.
//
// Types outside the catalogue can be published too, with any data; those that
// begin with generation., webhook. or endpoint. must be in it.
package events

import (
	"embed"
	"encoding/json"
	"slices"
)

// A Type is an event type of the catalogue.
type Type struct {
	Name        string
	Description string          // a sentence
	Schema      json.RawMessage // JSON Schema 2020-12 of the whole body
	Sample      json.RawMessage // a body that the schema takes
}

// The types of the events that tell the other endpoints of an account, those that
// name them, what has become of one. TypeTest is relay.TypeTest.
const (
	TypeDegraded  = "endpoint.degraded"
	TypeRecovered = "endpoint.recovered"
	TypeFailing   = "endpoint.failing"
	TypeDisabled  = "endpoint.disabled"
)

//go:embed schemas/*.json samples/*.json
var files embed.FS

var catalogue = []Type{
	load("generation.succeeded", "A generation has ended well; its results are ready."),
	load("generation.failed", "A generation has ended without a result."),
	load("generation.updated", "A generation has changed its status and has not ended."),
	load("webhook.test", "A test that was asked for; it stands for no generation."),
	load(TypeDegraded, "An endpoint keeps failing or timing out; it gets few calls until it answers again."),
	load(TypeRecovered, "An endpoint that was degraded has answered again; what was held back is on its way."),
	load(TypeFailing, "An endpoint has had nothing but failures for half of the time after which it is disabled."),
	load(TypeDisabled, "An endpoint was disabled by Hookferry; nothing is sent to it until it is made active again."),
}

func load(name, description string) Type {
	return Type{name, description, read("schemas/" + name + ".json"), read("samples/" + name + ".json")}
}

func read(path string) json.RawMessage {
	b, err := files.ReadFile(path)
	if err != nil {
		panic(err) // the files are part of the program
	}
	return b
}

// Catalogue returns the types, those of providers first. The caller may change
// the slice but not what Schema and Sample hold.
func Catalogue() []Type { return slices.Clone(catalogue) }

// Lookup returns the type of that name, and whether the catalogue has it.
func Lookup(name string) (Type, bool) {
	i := slices.IndexFunc(catalogue, func(t Type) bool { return t.Name == name })
	if i < 0 {
		return Type{}, false
	}
	return catalogue[i], true
}
