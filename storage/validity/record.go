package validity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Every record begins with the version of its own layout.
const (
	infoVersion    = 1
	buildVersion   = 1
	failureVersion = 1
	traceVersion   = 1
)

const flagUltimate = 1

// References come first, so that a walk over a closure reads only these.
func appendInfo(b []byte, i Info) []byte {
	b = append(b, infoVersion)
	b = binary.AppendUvarint(b, uint64(len(i.References)))
	for _, r := range i.References {
		b = appendString(b, r.Base())
	}
	b = appendString(b, i.NarHash.Algorithm().String())
	b = appendString(b, string(i.NarHash.Bytes()))
	b = binary.AppendUvarint(b, i.NarSize)
	b = appendString(b, i.Deriver.Base())
	b = binary.AppendVarint(b, i.RegistrationTime)
	var flags uint64
	if i.Ultimate {
		flags |= flagUltimate
	}
	b = binary.AppendUvarint(b, flags)
	b = binary.AppendUvarint(b, uint64(len(i.Signatures)))
	for _, s := range i.Signatures {
		b = appendString(b, s)
	}
	return appendString(b, i.CA)
}

func decodeInfo(p storepath.Path, b []byte) (Info, error) {
	d := decoder{rest: b, text: string(b)}
	d.version(infoVersion)
	i := Info{Path: p}
	if n := d.count(); n > 0 {
		i.References = make([]storepath.Path, 0, n)
		for range n {
			i.References = append(i.References, d.path())
		}
	}
	for n := 1; n < len(i.References); n++ {
		if d.err == nil && i.References[n-1].Compare(i.References[n]) >= 0 {
			d.err = errors.New("references are not sorted")
		}
	}
	i.NarHash = d.hash()
	i.NarSize = d.uvarint()
	if s := d.bytes(); len(s) > 0 && d.err == nil {
		i.Deriver, d.err = storepath.ParseBase(string(s))
	}
	i.RegistrationTime = d.varint()
	flags := d.uvarint()
	if flags&^uint64(flagUltimate) != 0 && d.err == nil {
		d.err = fmt.Errorf("unknown flags %#x", flags)
	}
	i.Ultimate = flags&flagUltimate != 0
	for range d.count() {
		i.Signatures = append(i.Signatures, string(d.bytes()))
	}
	i.CA = string(d.bytes())
	return i, d.end()
}

// eachReference calls f with the base name of each reference; the bytes are
// the record's.
func eachReference(record []byte, f func(base []byte)) error {
	d := decoder{rest: record}
	d.version(infoVersion)
	for range d.count() {
		if r := d.bytes(); d.err == nil {
			f(r)
		}
	}
	return d.err
}

func appendBuild(b []byte, r Build) []byte {
	b = append(b, buildVersion)
	b = binary.AppendVarint(b, r.Start.UnixNano())
	b = binary.AppendVarint(b, r.Stop.UnixNano())
	b = binary.AppendVarint(b, int64(r.UserCPU))
	b = binary.AppendVarint(b, int64(r.SystemCPU))
	b = binary.AppendUvarint(b, r.PeakMemory)
	b = appendString(b, r.Log)
	return appendString(b, r.Failure)
}

func decodeBuild(b []byte) (Build, error) {
	d := decoder{rest: b}
	d.version(buildVersion)
	r := Build{
		Start:      time.Unix(0, d.varint()),
		Stop:       time.Unix(0, d.varint()),
		UserCPU:    time.Duration(d.varint()),
		SystemCPU:  time.Duration(d.varint()),
		PeakMemory: d.uvarint(),
		Log:        string(d.bytes()),
		Failure:    string(d.bytes()),
	}
	return r, d.end()
}

func appendFailure(b []byte, f Failure) []byte {
	b = binary.AppendVarint(append(b, failureVersion), f.Time)
	return appendString(b, f.Class)
}

func decodeFailure(b []byte) (Failure, error) {
	d := decoder{rest: b}
	d.version(failureVersion)
	f := Failure{Time: d.varint(), Class: string(d.bytes())}
	return f, d.end()
}

func appendRealisation(b []byte, r Realisation) []byte {
	b = appendString(append(b, traceVersion), r.Path.Base())
	b = appendString(b, r.Drv.Base())
	b = binary.AppendUvarint(b, uint64(len(r.Signatures)))
	for _, s := range r.Signatures {
		b = appendString(b, s)
	}
	return b
}

// decodeRealisation fills in all but the ID, which is in the key.
func decodeRealisation(b []byte, r *Realisation) error {
	d := decoder{rest: b, text: string(b)}
	d.version(traceVersion)
	r.Path = d.path()
	if s := d.bytes(); len(s) > 0 && d.err == nil {
		r.Drv, d.err = storepath.ParseBase(string(s))
	}
	for range d.count() {
		r.Signatures = append(r.Signatures, string(d.bytes()))
	}
	return d.end()
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A decoder reads a record's fields in order; after the first error it returns
// zeros.
type decoder struct {
	rest []byte
	text string // the whole record, which paths are cut from: one copy for all
	err  error
}

var errShort = errors.New("record ends early")

func (d *decoder) version(known byte) {
	if len(d.rest) == 0 {
		d.err = errShort
		return
	}
	if d.rest[0] != known {
		d.err = fmt.Errorf("record has version %d, not %d", d.rest[0], known)
	}
	d.rest = d.rest[1:]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	return advance(d, v, n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	return advance(d, v, n)
}

func advance[T int64 | uint64](d *decoder, v T, n int) T {
	if d.err == nil && n <= 0 {
		d.err = errShort
	}
	if d.err != nil {
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count is the length of a list; its items take at least a byte each.
func (d *decoder) count() uint64 {
	n := d.uvarint()
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = errShort
	}
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) bytes() []byte {
	n := d.count()
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) path() storepath.Path {
	n := len(d.bytes())
	if d.err != nil {
		return storepath.Path{}
	}
	end := len(d.text) - len(d.rest)
	p, err := storepath.ParseBase(d.text[end-n : end])
	d.err = err
	return p
}

func (d *decoder) hash() (h nixhash.Hash) {
	name, digest := d.bytes(), d.bytes()
	if d.err != nil {
		return h
	}
	algorithm, err := nixhash.ParseAlgorithm(string(name))
	if err == nil {
		h, err = nixhash.FromBytes(algorithm, digest)
	}
	d.err = err
	return h
}

func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = fmt.Errorf("record has %d bytes too many", len(d.rest))
	}
	return d.err
}
