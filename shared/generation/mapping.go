// Package generation reads what known providers say about a generation, and
// gives it the form of Rivya's events (contract section 5), with the provider's
// own body beside it, byte for byte.
//
// Each provider is a file of providers/ that says where in its body the fields
// are: no code knows a provider. A recipe (shared/recipe) names one.
package generation

import (
	"embed"
	"encoding/json"
	"strings"
)

//go:embed providers/*.json
var files embed.FS

// A path leads to values of a body: names of fields, and * for each element of
// an array.
type path []string

// UnmarshalJSON reads a path that is written like a JSON pointer.
func (p *path) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*p = strings.Split(strings.TrimPrefix(s, "/"), "/")
	return nil
}

// A mapping says where a provider's body has what a generation is made of. Of
// several paths the first that leads to a value counts; of URLs, all.
type mapping struct {
	ID        path     `json:"id"`
	Status    path     `json:"status"`
	Succeeded []string `json:"succeeded"` // the words for it
	Failed    []string `json:"failed"`
	Model     []path   `json:"model"`
	CreatedAt []path   `json:"created_at"`
	UpdatedAt []path   `json:"updated_at"`
	URLs      []path   `json:"urls"`
	Error     []path   `json:"error"`
}

var mappings, names = load()

func load() (map[string]mapping, []string) {
	entries, err := files.ReadDir("providers")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	all, names := map[string]mapping{}, []string{}
	for _, e := range entries {
		text, err := files.ReadFile("providers/" + e.Name())
		if err != nil {
			panic(err)
		}
		var m mapping
		if err := json.Unmarshal(text, &m); err != nil {
			panic(e.Name() + ": " + err.Error()) // a test reads them all
		}
		name := strings.TrimSuffix(e.Name(), ".json")
		all[name], names = m, append(names, name)
	}
	return all, names
}

// Providers returns the names of the providers, sorted.
func Providers() []string { return names }

// Known reports whether the name is a provider's.
func Known(name string) bool {
	_, ok := mappings[name]
	return ok
}
