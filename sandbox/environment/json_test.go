package environment

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestNumbers has pairs of what a derivation says and what Nix 2.34.8 wrote into .attrs.json and .attrs.sh for it ("-": left out).
func TestNumbers(t *testing.T) {
	for written, want := range map[string][2]string{
		"1": {"1", "1"}, "-7": {"-7", "-7"}, "0": {"0", "0"}, "3000000000": {"3000000000", "-1294967296"},
		"4294967297": {"4294967297", "1"}, "9223372036854775807": {"9223372036854775807", "-1"},
		"1.5": {"1.5", "-"}, "2.0": {"2.0", "2"}, "16777217.5": {"16777217.5", "16777217"}, "16777216.5": {"16777216.5", "16777216"},
		"1e-05": {"1e-05", "-"}, "1e+20": {"1e+20", "-2147483648"}, "0.3333333333333333": {"0.3333333333333333", "-"},
		"2147483647.0": {"2147483647.0", "2147483647"}, "2147483648.0": {"2147483648.0", "-2147483648"},
		"-2147483648.0": {"-2147483648.0", "-2147483648"}, "-2147483649.0": {"-2147483649.0", "-2147483648"},
		"4294967296.0": {"4294967296.0", "-2147483648"}, "0.99999999999": {"0.99999999999", "0"}, "-1.5": {"-1.5", "-"},
		"1e+15": {"1e+15", "-2147483648"}, "9.999999999999999e+22": {"9.999999999999999e+22", "-2147483648"},
		"0.0001": {"0.0001", "-"}, "999999999999999.9": {"999999999999999.9", "-2147483648"}, "0.0": {"0.0", "0"},
	} {
		n := parseNumber(json.Number(written))
		if got := n.text(); got != want[0] {
			t.Errorf("%s: JSON %s, want %s", written, got, want[0])
		}
		word, ok := shellNumber(n)
		if !ok {
			word = "-"
		}
		if word != want[1] {
			t.Errorf("%s: shell %s, want %s", written, word, want[1])
		}
	}
}

// TestNumberForms has numbers as other programs write them.
func TestNumberForms(t *testing.T) {
	for written, want := range map[string]string{
		"1E5": "100000.0", "1.50": "1.5", "100e-2": "1.0", "0.1e1": "1.0", "1e400": "null", "-0": "0", "-0.0": "-0.0", "00e0": "0.0",
		"18446744073709551615": "18446744073709551615", "18446744073709551616": "1.8446744073709552e+19", "-9223372036854775809": "-9.223372036854776e+18",
		"0.1000000000000000055511151231257827": "0.1", "12e20": "1.2e+21", "0.10000000000000001e0": "0.1",
	} {
		if got := parseNumber(json.Number(written)).text(); got != want {
			t.Errorf("%s: %s, want %s", written, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	var b bytes.Buffer
	appendQuoted(&b, "a\"\\/\b\f\n\r\t\x00\x1f\x7f\u00e9\u2028<>&")
	if got, want := b.String(), `"a\"\\/\b\f\n\r\t\u0000\u001f`+"\x7f\u00e9\u2028<>&\""; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzAttributes(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,2.5,null,true,{"b":"\u0001'"}]}`, `{"a":1}x`, `[]`, `null`, `{"a":1e999,"b":-0.0}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		attributes, err := parseAttributes(text)
		if err != nil {
			return
		}
		var b, again bytes.Buffer
		appendJSON(&b, attributes)
		if strings.Contains(b.String(), "null") {
			return // perhaps an infinity, which is not written back as it was
		}
		second, err := parseAttributes(b.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, b.String(), err)
		}
		if appendJSON(&again, second); again.String() != b.String() {
			t.Errorf("%q: %q and then %q", text, b.String(), again.String())
		}
		shellText(attributes)
	})
}
