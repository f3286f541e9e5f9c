package realisation

import (
	"reflect"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// nixs is what Nix 2.34.8 put into a binary cache.
const nixs = `{"dependentRealisations":{},"id":"sha256:17443bb76569032032fb6ee4db9296206d1d6b368f2d3d83cc830a61fa5e8f46!out",` +
	`"outPath":"pg9v03snl66n8yh2ylb3wxasindnpcmg-self","signatures":["test-1:MOJZ/eec71i8l2adkVYPXyRu9Tt2YfeCkZ/AJVo01SJeGryfqYrI/+6VcAKrDu+r/nN3PcE2tIYcjuUFhqtnBw=="]}`

func path(t *testing.T, base string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(base)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatNixWrites(t *testing.T) {
	r, err := Parse([]byte(nixs))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := nixhash.Parse("17443bb76569032032fb6ee4db9296206d1d6b368f2d3d83cc830a61fa5e8f46", nixhash.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	want := Realisation{ID: ID{hash, "out"}, Path: path(t, "pg9v03snl66n8yh2ylb3wxasindnpcmg-self"), Signatures: []string{
		"test-1:MOJZ/eec71i8l2adkVYPXyRu9Tt2YfeCkZ/AJVo01SJeGryfqYrI/+6VcAKrDu+r/nN3PcE2tIYcjuUFhqtnBw=="}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("read %+v", r)
	}
	if s, err := r.JSON(); s != nixs || err != nil {
		t.Errorf("written %s, %v", s, err)
	}
	const signed = `{"dependentRealisations":{},"id":"sha256:17443bb76569032032fb6ee4db9296206d1d6b368f2d3d83cc830a61fa5e8f46!out","outPath":"pg9v03snl66n8yh2ylb3wxasindnpcmg-self"}`
	if s, err := r.Fingerprint(); s != signed || err != nil {
		t.Errorf("signed is %s, %v", s, err)
	}
}

// Older ones say with which others they were made, and sign that; others leave it out.
func TestDependent(t *testing.T) {
	const id = "sha256:17443bb76569032032fb6ee4db9296206d1d6b368f2d3d83cc830a61fa5e8f46!"
	const at = `"outPath":"pg9v03snl66n8yh2ylb3wxasindnpcmg-self"`
	r, err := Parse([]byte(`{"dependentRealisations":{"` + id + `dev":"5kzkjnq1majpln96n56zwn954z6bp6p2-rootCA"},"id":"` + id + `out",` + at + `}`))
	if err != nil || r.Dependent[id+"dev"] != path(t, "5kzkjnq1majpln96n56zwn954z6bp6p2-rootCA") {
		t.Errorf("%+v, %v", r, err)
	}
	const signed = `{"dependentRealisations":{"` + id + `dev":"5kzkjnq1majpln96n56zwn954z6bp6p2-rootCA"},"id":"` + id + `out",` + at + `}`
	if s, err := r.Fingerprint(); s != signed || err != nil {
		t.Errorf("signed is %s, %v", s, err)
	}
	if _, err := Parse([]byte(`{"id":"` + id + `out",` + at + `}`)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`{}`, `[]`, `{"id":"` + id + `out"}`, `{"id":"` + id + `",` + at + `}`, `{"id":"md5:00!out",` + at + `}`,
		`{"dependentRealisations":{"x":null},"id":"` + id + `out",` + at + `}`, `{"dependentRealisations":{"` + id + `dev":""},"id":"` + id + `out",` + at + `}`} {
		if r, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s is %+v", bad, r)
		}
	}
}

// What is read is written and read again as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nixs))
	f.Add([]byte(`{"dependentRealisations":{"x!y":"z"},"id":"sha256:!","outPath":"","signatures":["b","a","a"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		s, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse([]byte(s)); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%s: %+v, %v, before %+v", s, again, err, r)
		}
	})
}
