package verify_test

import (
	"os"
	"strings"
	"testing"
)

// The page's examples call what exists: each name that they use of a verifier
// stands in that verifier's file.
func TestTheGuideNamesWhatIsThere(t *testing.T) {
	page := read(t, "README.md")
	for file, names := range map[string][]string{
		"verify.go":               {"Verifier{Secrets:"},
		"handler.go":              {"v.Handler(", "verify.From(", "`Once`"},
		"memory.go":               {"NewMemory"},
		"typescript/hookferry.ts": {"verify(request.headers, body, ["},
		"python/hookferry.py":     {"hookferry.verify(request.headers, request.get_data(), ["},
	} {
		source := read(t, file)
		for _, name := range names {
			if !strings.Contains(page, name) {
				t.Errorf("the page does not say %q any more", name)
			}
			word := strings.Trim(name, "`([ ")
			if i := strings.LastIndex(word, "."); i >= 0 && strings.HasSuffix(file, ".go") {
				word = word[i+1:]
			}
			word, _, _ = strings.Cut(word, "{")
			word, _, _ = strings.Cut(word, "(")
			if !strings.Contains(source, word[strings.LastIndex(word, ".")+1:]) {
				t.Errorf("%s has no %q", file, word)
			}
		}
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
