package remotestore

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"troupe/actors/ports/remotestore/sshdtest"
	"troupe/messages/workerproto"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// TestServe speaks with the real nix-store --serve, over a real sshd.
func TestServe(t *testing.T) {
	dir, env := nixMachine(t)
	machine := sshdtest.Start(t, env...)
	store, config, err := OpenAny(machine.URL("ssh", "max-connections=2"), Settings{Dir: dir})
	if err != nil || config.RemoteProgram[0] != "nix-store" {
		t.Fatal(config, err)
	}
	defer store.Close()
	ctx, c := t.Context(), &conversation{t: t, dir: dir}
	one := c.object("1r2c1hkiirq3npgvlgqmqckfkdj3gm1k-one", strings.Repeat("one", 100_000))
	two := c.object("2r2c1hkiirq3npgvlgqmqckfkdj3gm1k-two", "two", one.Info.Path)
	two.Info.Deriver, two.Info.References = one.Info.Path, append(two.Info.References, two.Info.Path)
	for range 2 { // what is valid is taken again
		if err := store.Add(ctx, Terms{}, one, two); err != nil {
			t.Fatal(err)
		}
	}
	absent := c.object("4r2c1hkiirq3npgvlgqmqckfkdj3gm1k-absent", "").Info.Path
	valid, err := store.Valid(ctx, []storepath.Path{absent, two.Info.Path, one.Info.Path}, false)
	if err != nil || !slices.Equal(valid, []storepath.Path{one.Info.Path, two.Info.Path}) {
		t.Errorf("valid: %v, %v", valid, err)
	}
	info, found, err := store.Info(ctx, two.Info.Path)
	two.Info.RegistrationTime = 0 // which it does not tell
	if diff := cmp.Diff(two.Info, info, cmp.AllowUnexported(storepath.Path{}, nixhash.Hash{})); diff != "" || !found || err != nil {
		t.Errorf("%v, %v\n%s", found, err, diff)
	}
	if _, found, err := store.Info(ctx, absent); found || err != nil {
		t.Errorf("what is absent: %v, %v", found, err)
	}
	var got, want bytes.Buffer
	if err := errors.Join(store.NAR(ctx, one.Info.Path, &got), one.Archive(&want)); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("the archive has %d bytes, not %d: %v", got.Len(), want.Len(), err)
	}
	if err := store.NAR(ctx, absent, &got); err == nil || !IsLost(err) || !strings.Contains(err.Error(), "is not valid") {
		t.Errorf("the archive of what is absent: %v", err)
	}
	if _, found, err := store.Info(ctx, one.Info.Path); !found || err != nil {
		t.Errorf("after an error: %v, %v", found, err)
	}
}

// FuzzServed: whatever the other end says of a path is a record of it or an error.
func FuzzServed(f *testing.F) {
	p, err := storepath.ParseBase("1r2c1hkiirq3npgvlgqmqckfkdj3gm1k-one")
	if err != nil {
		f.Fatal(err)
	}
	var good bytes.Buffer
	w := workerproto.NewWriter(&good)
	w.String("")
	w.Int(1)
	w.String("/nix/store/" + p.Base())
	w.Int(0)
	w.Int(7)
	w.String("sha256:" + strings.Repeat("0", 52))
	w.String("")
	w.Int(0)
	if err := w.Flush(); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &Conn{r: workerproto.NewReader(bytes.NewReader(text))}
		c.Dir = "/nix/store"
		info, err := c.readInfo(p)
		if err == nil && (info.Path != p || info.NarHash.IsZero()) {
			t.Errorf("%q: %+v", text, info)
		}
	})
}
