package validity

import (
	"bytes"
	"fmt"
	"strings"

	"troupe/storage/storepath"
)

// The first byte of a key says what the record is. Base names have no NUL, so
// it separates them, and what belongs to one path is one range of keys.
const (
	keyBuild    = 'b' // drv -> Build, the last one
	keyDeriver  = 'd' // output NUL drv -> nothing
	keyFailure  = 'f' // path -> Failure
	keyHead     = 'h' // path that no other refers to -> nothing; some that others refer to may be there as well
	keyKnot     = 'k' // path -> nothing; each cycle of references and derivers has one
	keyMade     = 'm' // deriver NUL path whose record names it -> nothing
	keyNamed    = 'n' // name -> Build, the last one that succeeded
	keyOutput   = 'o' // drv NUL output name -> path
	keyInfo     = 'p' // path -> Info
	keyReferrer = 'r' // path NUL referrer -> nothing
	keyTrace    = 't' // DrvOutput -> Realisation
	keyRealised = 'u' // path NUL DrvOutput -> nothing
)

// formatKey sorts before all others.
var formatKey = []byte("\x00format")

func key(kind byte, s string) []byte {
	return append(append(make([]byte, 0, 1+len(s)), kind), s...)
}

func pathKey(kind byte, p storepath.Path) []byte { return key(kind, p.Base()) }

func pairKey(kind byte, first storepath.Path, second string) []byte {
	return append(pairPrefix(kind, first), second...)
}

func pairPrefix(kind byte, first storepath.Path) []byte {
	base := first.Base()
	k := append(make([]byte, 0, 2+2*len(base)), kind)
	return append(append(k, base...), 0)
}

// after is the first key that does not begin with prefix. No prefix of ours
// ends in 0xff.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return end
}

// pairPath is the path after the NUL of a pair's key.
func pairPath(k, prefix []byte) (storepath.Path, error) {
	p, err := storepath.ParseBase(string(k[len(prefix):]))
	if err != nil {
		return p, corrupt(k, err)
	}
	return p, nil
}

func corrupt(k []byte, err error) error {
	return &CorruptError{Key: fmt.Sprintf("%q", k), Err: err}
}

// drvName is the name that builds of a derivation share when its hash changes.
func drvName(drv storepath.Path) string {
	return strings.TrimSuffix(drv.Name(), ".drv")
}
