package ports

import (
	"encoding/json"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// BuiltinInput is what a builtin builder's process is told, as JSON.
type BuiltinInput struct {
	Env, Outputs  map[string]string
	FixedOrImpure bool
	Hash          string `json:",omitempty"` // of the one file that it is to be: "<algorithm>/<base 16>"
	BuiltinPolicy
}

// BuiltinPolicy is what the settings say about builtin builders.
type BuiltinPolicy struct {
	Netrc, CA                    []byte
	Proxy                        map[string]string
	Mirrors                      []string // hashed-mirrors
	Attempts                     uint
	ConnectTimeout, StallTimeout time.Duration
}

// builtinInput is the file that a builtin reads its input from; nil for any
// other builder.
func (p *Process) builtinInput(b *build) (*os.File, error) {
	if !b.spec.IsBuiltin() {
		return nil, nil
	}
	in := BuiltinInput{Env: b.drv.Env, Outputs: map[string]string{}, FixedOrImpure: b.drv.HasNetwork(), BuiltinPolicy: b.policy.Builtin}
	if b.spec.Builder != "builtin:fetchurl" {
		in.Netrc = nil // nobody else needs passwords
	}
	for _, o := range b.drv.Outputs {
		if o.Kind == derivation.Fixed && o.Method == storepath.Flat {
			in.Hash = o.Hash.Algorithm().String() + "/" + o.Hash.Base16()
		}
		in.Outputs[o.Name] = p.s.Layout.Dir.Join(b.place(o))
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("input", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "input")
	if _, err := f.WriteAt(text, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
