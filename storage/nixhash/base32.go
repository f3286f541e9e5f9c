package nixhash

import "fmt"

// Alphabet is Nix's base 32: digits and letters without e, o, t and u. It has no
// padding, and the last character comes from the first bits.
const Alphabet = "0123456789abcdfghijklmnpqrsvwxyz"

var base32Value = func() (v [256]int8) {
	for i := range v {
		v[i] = -1
	}
	for i := range len(Alphabet) {
		v[Alphabet[i]] = int8(i)
	}
	return v
}()

// base32Len is the length in characters of n bytes.
func base32Len(n int) int { return (n*8 + 4) / 5 }

// EncodeBase32 renders bytes in Nix's base 32.
func EncodeBase32(b []byte) string {
	n := base32Len(len(b))
	out := make([]byte, n)
	for i := range n {
		bit := (n - 1 - i) * 5
		at, shift := bit/8, bit%8
		c := b[at] >> shift
		if at+1 < len(b) {
			c |= b[at+1] << (8 - shift)
		}
		out[i] = Alphabet[c&0x1f]
	}
	return string(out)
}

// DecodeBase32 reads what [EncodeBase32] wrote, and nothing else.
func DecodeBase32(s string) ([]byte, error) {
	b := make([]byte, len(s)*5/8)
	if base32Len(len(b)) != len(s) {
		return nil, fmt.Errorf("decode base-32 string %q: no number of bytes has this length", s)
	}
	for i := range len(s) {
		v := base32Value[s[i]]
		if v < 0 {
			return nil, fmt.Errorf("decode base-32 string %q: invalid character %q", s, s[i])
		}
		bit := (len(s) - 1 - i) * 5
		at, shift := bit/8, bit%8
		b[at] |= byte(v) << shift
		carry := byte(v) >> (8 - shift)
		switch {
		case at+1 < len(b):
			b[at+1] |= carry
		case carry != 0:
			return nil, fmt.Errorf("decode base-32 string %q: bits beyond the last byte are set", s)
		}
	}
	return b, nil
}
