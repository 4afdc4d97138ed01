package config

import (
	"fmt"
	"slices"
	"strings"
)

// Unknown returns a sentence for each variable of the environment, as os.Environ
// gives it, that is not read but looks like one that is: a misspelt setting would
// otherwise change nothing, without a word.
func Unknown(environ []string) []string {
	var said []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == name }) {
			continue
		}
		if near := nearest(name); near != "" {
			said = append(said, fmt.Sprintf("%s is not a setting; is %s meant?", name, near))
		}
	}
	slices.Sort(said)
	return said
}

// nearest returns the setting that a name is at most two letters away from, or
// that it is in other letters or with other marks between the words.
func nearest(name string) string {
	if len(name) < 6 || len(name) > 64 {
		return ""
	}
	for _, v := range variables {
		if plainName(name) == plainName(v.Name) || Distance(name, v.Name) <= 2 {
			return v.Name
		}
	}
	return ""
}

func plainName(s string) string {
	return strings.ToUpper(strings.NewReplacer("_", "", "-", "", ".", "").Replace(s))
}

// Distance returns how many letters must be put in, left out or changed to make a b.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
