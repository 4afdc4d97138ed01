package filter

// A decimal is a number exactly as JSON spells it. Its value is 0.digits times
// ten to the power of exponent.
type decimal struct {
	negative bool
	// digits goes from the first to the last digit that is not 0 and may have the
	// decimal point within, which is skipped. It is empty for zero.
	digits   []byte
	exponent int64
}

// Exponents of a body beyond this are taken as this. No pattern has so great a
// one, and no text is so long that its digits could make up for it.
const endlessExponent = 1 << 50

// newDecimal reads a valid JSON number. The result refers to text.
func newDecimal(text []byte) decimal {
	var d decimal
	i := 0
	if text[0] == '-' {
		d.negative = true
		i = 1
	}
	first, last := -1, -1 // digits that are not 0
	before, point := int64(0), int64(-1)
	for ; i < len(text) && text[i] != 'e' && text[i] != 'E'; i++ {
		switch c := text[i]; {
		case c == '.':
			point = before
		case c != '0':
			if first < 0 {
				first = i
				d.exponent = -before
			}
			last = i
			before++
		default:
			before++
		}
	}
	if first < 0 {
		return decimal{}
	}
	if point < 0 {
		point = before
	}
	d.digits = text[first : last+1]
	d.exponent += point
	if i < len(text) {
		d.exponent += readExponent(text[i+1:])
	}
	return d
}

func readExponent(text []byte) int64 {
	negative := text[0] == '-'
	if text[0] == '-' || text[0] == '+' {
		text = text[1:]
	}
	var n int64
	for _, c := range text {
		if n = n*10 + int64(c-'0'); n > endlessExponent {
			n = endlessExponent
			break
		}
	}
	if negative {
		return -n
	}
	return n
}

// compare returns -1, 0 or 1 as d is less than, equal to or greater than e.
func (d decimal) compare(e decimal) int {
	switch {
	case d.sign() != e.sign():
		if d.sign() < e.sign() {
			return -1
		}
		return 1
	case d.sign() == 0:
		return 0
	case d.exponent != e.exponent:
		if d.exponent < e.exponent {
			return -d.sign()
		}
		return d.sign()
	}
	return d.sign() * compareDigits(d.digits, e.digits)
}

func (d decimal) sign() int {
	switch {
	case len(d.digits) == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// compareDigits compares fractions that end in a digit other than 0.
func compareDigits(a, b []byte) int {
	i, j := 0, 0
	for {
		if i < len(a) && a[i] == '.' {
			i++
		}
		if j < len(b) && b[j] == '.' {
			j++
		}
		switch {
		case i == len(a) && j == len(b):
			return 0
		case i == len(a):
			return -1
		case j == len(b):
			return 1
		case a[i] != b[j]:
			if a[i] < b[j] {
				return -1
			}
			return 1
		}
		i++
		j++
	}
}
