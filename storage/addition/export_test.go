package addition_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/export"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// exported are two paths in a store, one with a reference to the other, and
// their export.
func exported(t *testing.T, s store) (paths []storepath.Path, stream []byte) {
	t.Helper()
	ctx := context.Background()
	a := s.adder()
	tree, err := a.Tree(ctx, sampleTree(t), "tree")
	must(t, err)
	letter, err := a.Text(ctx, "letter", []byte(s.Dir.Join(tree)), []storepath.Path{tree})
	must(t, err)
	var b bytes.Buffer
	must(t, export.Write(ctx, &b, s.Layout, s.db, []storepath.Path{letter, tree}))
	return []storepath.Path{tree, letter}, b.Bytes()
}

// Nix takes our exports, and we take those of Nix; they are the same bytes.
func TestExportAsNix(t *testing.T) {
	ctx := context.Background()
	work, s := tempDir(t), newStore(t)
	s.Dir, s.Root = storepath.Dir(work+"/store"), tempDir(t)
	must(t, localstore.Prepare(s.Layout, ""))
	paths, stream := exported(t, s)
	got := strings.Fields(nix(t, work, s.Dir, stream, "nix-store", "--import"))
	want := []string{s.Dir.Join(paths[0]), s.Dir.Join(paths[1])}
	if !slices.Equal(got, want) {
		t.Errorf("Nix imports %q, want %q", got, want)
	}
	if refs := nix(t, work, s.Dir, nil, "nix-store", "--query", "--references", want[1]); refs != want[0] {
		t.Errorf("for Nix it refers to %q", refs)
	}
	theirs := nix(t, work, s.Dir, nil, "sh", "-c", "nix-store --export "+want[1]+" "+want[0]+" > "+work+"/export")
	if theirs != "" {
		t.Error(theirs)
	}
	again, err := os.ReadFile(work + "/export")
	must(t, err)
	if !bytes.Equal(again, stream) {
		t.Error("the export of Nix is another")
	}
	other := newStore(t)
	other.Dir, other.Root = s.Dir, tempDir(t)
	must(t, localstore.Prepare(other.Layout, ""))
	r := bytes.NewReader(append(again, "more"...))
	added, err := other.adder().Import(ctx, r, trustAll)
	if err != nil || !slices.Equal(added, paths) || r.Len() != 4 {
		t.Errorf("%v %v, %d bytes are left", added, err, r.Len())
	}
	other.want(t, paths...)
	info, _, err := other.db.Get(paths[1])
	if durable, derr := other.db.Durable(paths[1]); err != nil || derr != nil || !durable || !slices.Equal(info.References, paths[:1]) {
		t.Errorf("%+v, durable is %v, %v %v", info, durable, err, derr)
	}
}

// An export that is cut short leaves whole paths and nothing else.
func TestImportCutShort(t *testing.T) {
	ctx := context.Background()
	paths, stream := exported(t, newStore(t))
	second := bytes.LastIndex(stream, []byte("nix-archive-1")) - 16
	for end := 0; end < len(stream); end += 24 {
		s := newStore(t)
		added, err := s.adder().Import(ctx, bytes.NewReader(stream[:end]), trustAll)
		want := paths[:0]
		if end >= len(stream)-8 { // all but the end
			want = paths
		} else if end >= second {
			want = paths[:1]
		}
		if err == nil || !slices.Equal(added, want) {
			t.Errorf("after %d bytes of %d: %v %v", end, len(stream), added, err)
		}
		s.want(t, want...)
	}
}

func TestImportStreamRefuses(t *testing.T) {
	ctx := context.Background()
	from := newStore(t)
	paths, stream := exported(t, from)
	for what, c := range map[string]struct {
		stream []byte
		terms  addition.Terms
		want   string
	}{
		"nobody vouches": {stream, addition.Terms{}, "lacks a signature by a trusted key"},
		"no export":      {[]byte("<!doctype html>"), trustAll, "created by 'nix-store --export'"},
		"no record":      {bytes.ReplaceAll(stream, []byte("NIXE"), []byte("NIXF")), trustAll, "wrong format"},
		"other store":    {bytes.ReplaceAll(stream, []byte("/nix/store"), []byte("/nix/stare")), trustAll, "is not in the store"},
		"padding":        {bytes.Replace(stream, []byte("-letter\x00"), []byte("-letter\x01"), 1), trustAll, "padding"},
	} {
		s := newStore(t)
		if _, err := s.adder().Import(ctx, bytes.NewReader(c.stream), c.terms); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if what == "padding" { // it is in the second record
			s.want(t, paths[0])
		} else {
			s.want(t)
		}
	}
}

// What was changed in the store is not handed on as if it were whole.
func TestExportOfWhatWasChanged(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	paths, stream := exported(t, s)
	var missing *validity.NotValidError
	unknown, err := storepath.ParseBase(strings.Repeat("0", 32) + "-unknown")
	must(t, err)
	if err := export.Write(ctx, &bytes.Buffer{}, s.Layout, s.db, []storepath.Path{unknown}); !errors.As(err, &missing) || missing.Path != unknown {
		t.Error(err)
	}
	file := s.RealPath(paths[0]) + "/text"
	must(t, errors.Join(os.Chmod(file, 0o644), os.WriteFile(file, []byte("test\n"), 0o444)))
	var b bytes.Buffer
	err = export.Write(ctx, &b, s.Layout, s.db, paths)
	if err == nil || !strings.HasPrefix(err.Error(), "hash of path '"+s.Dir.Join(paths[0])+"' has changed from 'sha256:") {
		t.Error(err)
	}
	if _, err := newStore(t).adder().Import(ctx, &b, trustAll); err == nil {
		t.Errorf("what was written, %d bytes of %d, is an export", b.Len(), len(stream))
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := export.Write(done, &b, s.Layout, s.db, paths); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
