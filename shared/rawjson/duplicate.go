package rawjson

import (
	"strconv"
	"strings"
)

// Duplicate looks through the whole of body, which must be Valid, for an object
// that has two fields of one name, after their escapes are undone, and returns
// the path of the second, like data.items[1].name. It does not recurse.
func Duplicate(body []byte) (path string, found bool) {
	var open []level
	for i := space(body, 0); i < len(body); i = space(body, i) {
		top := len(open) - 1
		switch c := body[i]; c {
		case '{':
			open = append(open, level{names: map[string]bool{}})
			i++
		case '[':
			open = append(open, level{})
			i++
		case '}', ']':
			open = open[:top]
			i++
		case ',':
			open[top].index++
			open[top].value = false
			i++
		case ':':
			open[top].value = true
			i++
		default:
			end := skip(body, i)
			if top >= 0 && open[top].names != nil && !open[top].value {
				name, _ := String(body[i:end])
				open[top].name = name
				if open[top].names[name] {
					return pathOf(open), true
				}
				open[top].names[name] = true
			}
			i = end
		}
	}
	return "", false
}

// A level is an object or array that is being read.
type level struct {
	names map[string]bool // of an object so far; nil for an array
	name  string          // of the field that is being read
	value bool            // its name is over
	index int             // of the element that is being read
}

func pathOf(open []level) string {
	var b strings.Builder
	for _, l := range open {
		switch {
		case l.names == nil:
			b.WriteString("[" + strconv.Itoa(l.index) + "]")
		case b.Len() > 0:
			b.WriteString("." + l.name)
		default:
			b.WriteString(l.name)
		}
	}
	return b.String()
}
