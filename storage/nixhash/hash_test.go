package nixhash

import "testing"

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"", "abc", "sha256:", "sha3:00", "sha256-zz", "md5:900150983cd24fb0d6963f7d28e17f7g"} {
		if h, err := Parse(s, 0); err == nil {
			t.Errorf("%q reads as %v", s, h)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Sum(SHA256, []byte("abc")).SRI())
	f.Add(Sum(MD5, nil).String())
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Parse(s, 0)
		if err != nil {
			return
		}
		for _, form := range []string{h.String(), h.SRI(), h.Algorithm().String() + ":" + h.Base16()} {
			if again, err := Parse(form, 0); err != nil || again != h {
				t.Errorf("%q: %v, %v", form, again, err)
			}
		}
	})
}
