package environment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// parseAttributes reads the text of __json, which must be one object. Values are nil, bool, string,
// json.Number, []any and map[string]any.
func parseAttributes(text string) (map[string]any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var attributes map[string]any
	if err := decoder.Decode(&attributes); err != nil {
		return nil, fmt.Errorf("read structured attributes: %w", err)
	}
	if attributes == nil {
		return nil, errors.New("read structured attributes: not an object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read structured attributes: something follows the object")
	}
	return attributes, nil
}

// appendJSON writes a value as Nix's JSON library does: keys sorted by bytes, no blanks, text as it is but
// for quotes, backslashes and control characters.
func appendJSON(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case uint64:
		b.WriteString(strconv.FormatUint(v, 10))
	case json.Number:
		b.WriteString(parseNumber(v).text())
	case string:
		appendQuoted(b, v)
	case []any:
		b.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			appendJSON(b, element)
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			appendQuoted(b, key)
			b.WriteByte(':')
			appendJSON(b, v[key])
		}
		b.WriteByte('}')
	default:
		panic(fmt.Sprintf("no JSON for a %T", value))
	}
}

func appendQuoted(b *bytes.Buffer, s string) {
	short := map[byte]byte{'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '"': '"', '\\': '\\'}
	b.WriteByte('"')
	for i := range len(s) {
		switch letter, ok := short[s[i]]; {
		case ok:
			b.Write([]byte{'\\', letter})
		case s[i] < 0x20:
			fmt.Fprintf(b, "\\u%04x", s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	b.WriteByte('"')
}

// number is a JSON number as Nix keeps it: whole if it is written so and fits 64 bits, else a float.
type number struct {
	written string
	whole   bool
	// bits of a whole number: those of an int64 or, where it is larger, of a uint64.
	bits  uint64
	float float64
}

func parseNumber(text json.Number) number {
	written := string(text)
	if !strings.ContainsAny(written, ".eE") {
		if n, err := strconv.ParseUint(written, 10, 64); err == nil {
			return number{written: strconv.FormatUint(n, 10), whole: true, bits: n, float: float64(n)}
		}
		if n, err := strconv.ParseInt(written, 10, 64); err == nil {
			return number{written: strconv.FormatInt(n, 10), whole: true, bits: uint64(n), float: float64(n)}
		}
	}
	// The text is a number, so the only error is that it is out of range, of which an infinity says enough.
	f, _ := strconv.ParseFloat(written, 64)
	return number{written: written, float: f}
}

// text is the number as Nix's JSON library writes it: a whole number plainly, a float with the fewest digits
// that read back the same. Of these there are now and then several, and that library does not always take the
// one that Go takes; a float that is written in the library's form already is therefore left as it is.
func (n number) text() string {
	switch {
	case n.whole:
		return n.written
	case math.IsInf(n.float, 0):
		return "null"
	}
	digits, point := significant(n.written)
	if laid := layOut(digits, point); len(strings.TrimPrefix(digits, "-")) <= 17 && laid == n.written {
		return laid
	}
	return layOut(significant(strconv.FormatFloat(n.float, 'e', -1, 64)))
}

// significant takes a number's text apart: its sign and digits, without zeros around them, and the power of
// ten of the first digit.
func significant(text string) (digits string, point int) {
	sign, text := "", strings.ToLower(text)
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, text = "-", rest
	}
	mantissa, exponent, _ := strings.Cut(text, "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	power, err := strconv.Atoi(exponent)
	if err != nil {
		power = 0
	}
	all := strings.TrimLeft(whole+fraction, "0")
	point = power + len(whole) - 1 - (len(whole+fraction) - len(all))
	all = strings.TrimRight(all, "0")
	if all == "" {
		return sign + "0", 0
	}
	return sign + all, point
}

// layOut writes digits plainly from 1e-4 to below 1e15, with an exponent of two digits or more else.
func layOut(digits string, point int) string {
	sign := ""
	if rest, ok := strings.CutPrefix(digits, "-"); ok {
		sign, digits = "-", rest
	}
	switch {
	case point < -4 || point >= 15:
		if len(digits) > 1 {
			digits = digits[:1] + "." + digits[1:]
		}
		return fmt.Sprintf("%s%se%+03d", sign, digits, point)
	case point < 0:
		return sign + "0." + strings.Repeat("0", -point-1) + digits
	case len(digits) <= point+1:
		return sign + digits + strings.Repeat("0", point+1-len(digits)) + ".0"
	}
	return sign + digits[:point+1] + "." + digits[point+1:]
}
