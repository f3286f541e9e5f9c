package validity

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"troupe/storage/storepath"
)

func TestACorruptRecordIsNamed(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(info("a"), info("b", "a"))))
	commit(t, db, "a")
	good := appendInfo(nil, info("b", "a"))
	for what, record := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)-1], "long": append(bytes.Clone(good), 0),
		"newer": append([]byte{infoVersion + 1}, good[1:]...),
	} {
		must(t, db.pebble.Set(pathKey(keyInfo, named("b")), record, pebble.Sync))
		var c *CorruptError
		if _, _, err := db.Get(named("b")); !errors.As(err, &c) || !strings.Contains(c.Key, named("b").Base()) {
			t.Errorf("%s: error is %v", what, err)
		}
	}
}

func TestANewerDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{})
	must(t, err)
	must(t, db.pebble.Set(formatKey, []byte{formatVersion + 1}, pebble.Sync))
	must(t, db.Close())
	for range 2 { // the refusal gives the database back
		var newer *NewerFormatError
		if _, err := Open(dir, Options{}); !errors.As(err, &newer) || newer.Found != formatVersion+1 {
			t.Fatalf("error is %v", err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	i := info("a", "b", "c")
	i.Deriver, i.Signatures, i.CA = named("a.drv"), []string{"k:s"}, "text:x"
	f.Add(appendInfo(nil, i))
	f.Add(appendBuild(nil, Build{Log: "l"}))
	f.Add(appendFailure(nil, Failure{Class: "x", Time: 3}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := decodeInfo(named("x"), b); err == nil {
			again, err := decodeInfo(named("x"), appendInfo(nil, i))
			if err != nil || !cmp.Equal(i, again, byValue) {
				t.Errorf("%v became %v, %v", i, again, err)
			}
			var refs []storepath.Path
			err = eachReference(b, func(base []byte) {
				p, err := storepath.ParseBase(string(base))
				must(t, err)
				refs = append(refs, p)
			})
			if err != nil || !cmp.Equal(refs, i.References, byValue) {
				t.Errorf("references are %v, %v", refs, err)
			}
		}
		if r, err := decodeBuild(b); err == nil {
			if again, err := decodeBuild(appendBuild(nil, r)); err != nil || again != r {
				t.Errorf("%v became %v, %v", r, again, err)
			}
		}
		if r, err := decodeFailure(b); err == nil {
			if again, err := decodeFailure(appendFailure(nil, r)); err != nil || again != r {
				t.Errorf("%v became %v, %v", r, again, err)
			}
		}
	})
}
