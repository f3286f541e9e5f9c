package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// A narinfo that is wrong in any way is refused, before anything is to be seen.
func TestLies(t *testing.T) {
	s := newSample(t, "xz", false)
	other := nixhash.Sum(nixhash.SHA256, []byte("other"))
	long := s.info.NarSize
	for _, c := range []struct {
		name, want string
		change     func(*narinfo.Info)
	}{
		{"another path", "it is about '/nix/store/rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep', not", func(i *narinfo.Info) {
			i.Path = parsePath(t, "rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep")
		}},
		{"another name", "it is about '/nix/store/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-other', not", func(i *narinfo.Info) {
			i.Path = parsePath(t, "i1kx9g2zbfgblhg37zik3s0vy4clkbzd-other")
		}},
		{"an absolute URL", "URL 'http://other.example/x.nar' leaves the cache", func(i *narinfo.Info) { i.URL = "http://other.example/x.nar" }},
		{"a file", "URL 'file:///etc/passwd' leaves the cache", func(i *narinfo.Info) { i.URL = "file:///etc/passwd" }},
		{"another host", "URL '//other.example/x' leaves the cache", func(i *narinfo.Info) { i.URL = "//other.example/x" }},
		{"an absolute path", "URL '/etc/passwd' leaves the cache", func(i *narinfo.Info) { i.URL = "/etc/passwd" }},
		{"upwards", "URL 'nar/../../x' leaves the cache", func(i *narinfo.Info) { i.URL = "nar/../../x" }},
		{"upwards in disguise", "URL 'nar/%2e%2e/%2e./x' leaves the cache", func(i *narinfo.Info) { i.URL = "nar/%2e%2e/%2e./x" }},
		{"a slash in disguise", "URL '..%2fx' leaves the cache", func(i *narinfo.Info) { i.URL = "..%2fx" }},
		{"another method", "bad NAR", func(i *narinfo.Info) { i.Compression = "gzip" }},
		{"an unknown method", "unknown compression method 'zip'", func(i *narinfo.Info) { i.Compression = "zip" }},
		{"a smaller NAR", fmt.Sprintf("it has more than %d bytes", long-8), func(i *narinfo.Info) { i.NarSize -= 8 }},
		{"a larger NAR", fmt.Sprintf("it has %d bytes, not %d", long, long+8), func(i *narinfo.Info) { i.NarSize += 8 }},
		{"another NAR", "hash mismatch importing path '/nix/store/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top'; specified: " + other.String(), func(i *narinfo.Info) { i.NarHash = other }},
		{"a smaller file", "bytes, not", func(i *narinfo.Info) { i.FileSize -= 4 }},
		{"a larger file", "bytes, not", func(i *narinfo.Info) { i.FileSize += 4 }},
		{"another file", "the file's hash is " + s.info.FileHash.String() + ", not " + other.String(), func(i *narinfo.Info) { i.FileHash = other }},
		{"a bomb", "it has more than 1000 bytes", func(i *narinfo.Info) { i.NarSize, i.FileSize, i.FileHash = 1000, 0, nixhash.Hash{} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.rewrite(t, c.change)
			cache, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + s.dir)
			must(t, err)
			place := t.TempDir() + "/x"
			err = unpackTo(cache, s.info.Path, place)
			var e *Error
			if !errors.As(err, &e) || e.Class != Corrupt || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if _, err := os.Lstat(place); err == nil {
				t.Error("something was left behind")
			}
		})
	}
	s.rewrite(t, func(i *narinfo.Info) { i.FileSize, i.FileHash = 0, nixhash.Hash{} })
	cache, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + s.dir)
	must(t, err)
	if archive, err := get(cache, s); err != nil || string(archive) != string(s.archive) {
		t.Errorf("without promises of the file: %d bytes, %v", len(archive), err)
	}
}

// Who hashes by himself is told of wrong sizes only.
func TestFetchUnhashed(t *testing.T) {
	s := newSample(t, "xz", false)
	other := nixhash.Sum(nixhash.SHA256, []byte("other"))
	for want, change := range map[string]func(*narinfo.Info){
		"":             func(i *narinfo.Info) { i.NarHash, i.FileHash = other, other },
		"it has more":  func(i *narinfo.Info) { i.NarSize -= 8 },
		"it has":       func(i *narinfo.Info) { i.NarSize += 8 },
		"bytes, not":   func(i *narinfo.Info) { i.FileSize -= 4 },
		"the file has": func(i *narinfo.Info) { i.FileSize += 4 },
	} {
		info := s.info
		change(&info)
		s.rewrite(t, change)
		cache, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + s.dir)
		must(t, err)
		r, err := cache.FetchUnhashed(context.Background(), info)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
			err = errors.Join(err, r.Close())
		}
		switch {
		case want == "" && (err != nil || string(got) != string(s.archive)):
			t.Errorf("%d bytes, %v", len(got), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func unpackTo(c *Cache, p storepath.Path, place string) error {
	info, _, err := c.Info(context.Background(), p)
	if err != nil {
		return err
	}
	r, err := c.Fetch(context.Background(), info)
	if err != nil {
		return err
	}
	return errors.Join(r.Unpack(place), r.Close())
}

// What is bad in the archive itself, or comes after it, is refused though its hash is right.
func TestBadArchives(t *testing.T) {
	dir := t.TempDir()
	p := parsePath(t, "i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top")
	const good = "\x0d\x00\x00\x00\x00\x00\x00\x00nix-archive-1\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00(\x00\x00\x00\x00\x00\x00\x00" +
		"\x04\x00\x00\x00\x00\x00\x00\x00type\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00symlink\x00\x06\x00\x00\x00\x00\x00\x00\x00target\x00\x00" +
		"\x01\x00\x00\x00\x00\x00\x00\x00x\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00)\x00\x00\x00\x00\x00\x00\x00"
	for name, c := range map[string]struct{ archive, want string }{
		"good":               {good, ""},
		"bytes follow":       {good + "12345678", "bytes follow the archive"},
		"cut short":          {good[:len(good)-8], "it is cut short"},
		"not zero":           {good[:len(good)-1] + "\x01", "the padding is not zero"},
		"a length of 2^64-1": {"\xff\xff\xff\xff\xff\xff\xff\xff" + good[8:], "more than 16"},
	} {
		info := narinfo.Info{Path: p, URL: "nar/x.nar", Compression: "none", NarHash: nixhash.Sum(nixhash.SHA256, []byte(c.archive)), NarSize: uint64(len(c.archive))}
		must(t, os.MkdirAll(dir+"/nar", 0o755))
		for file, text := range map[string]string{infoFile: "", narinfo.FileName(p): string(info.Print("/nix/store")), info.URL: c.archive} {
			must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
		}
		cache, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + dir)
		must(t, err)
		place := t.TempDir() + "/x"
		err = unpackTo(cache, p, place)
		_, serr := os.Lstat(place)
		if c.want == "" {
			if err != nil || serr != nil {
				t.Errorf("%s: %v, %v", name, err, serr)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Class != Corrupt || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if serr == nil {
			t.Errorf("%s: something was left behind", name)
		}
		// Nor do we spread it.
		to, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + t.TempDir() + "?compression=none")
		must(t, err)
		if _, err := to.Upload(context.Background(), info, strings.NewReader(c.archive)); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(c.want, "bytes ")) {
			t.Errorf("%s: uploaded: %v", name, err)
		}
	}
}

// No packed stream makes us hold more than its window, whatever it claims.
func TestUnpackRefuses(t *testing.T) {
	for _, c := range []struct{ name, method, packed, want string }{
		{"a zstd window of 8 GiB", "zstd", "\x28\xb5\x2f\xfd\x00\xb8\x00\x00\x00", "window size exceeded"},
		{"an xz window of 4 GiB", "xz", "\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x28\x00\x00\x00\xe6\xa0\x11\xb3\x01\x00\x00\x78\x00", "dictionary size exceeds max"},
		{"nothing", "xz", "", "truncated"},
		{"an unknown method", "rar", "x", "unknown compression method 'rar'"},
		{"a program that fails", "lz4", "not lz4", "unpack with 'lz4'"},
	} {
		r, err := new(unpackers).unpack(context.Background(), c.method, strings.NewReader(c.packed))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			if cerr := r.Close(); cerr != nil {
				t.Errorf("%s: close: %v", c.name, cerr)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// A program's output is the stream, and what keeps it from running is said.
func TestPrograms(t *testing.T) {
	const packed = "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x30\x82\x9c\xff\xff\xff\xff\xf0\x00\x00\x00"
	r, err := new(unpackers).unpack(context.Background(), "lzma", strings.NewReader(packed))
	if err != nil {
		missing(t, "xz: "+err.Error())
	}
	text, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(text) != "a\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := runUnpacker(context.Background(), []string{"no-such-program"}, nil); err == nil || !strings.Contains(err.Error(), "unpack with 'no-such-program'") {
		t.Errorf("%v", err)
	}
	// Who closes early does not wait for what does not come.
	never, end := io.Pipe()
	defer end.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-ctx.Done(); never.CloseWithError(ctx.Err()) }()
	r, err = runUnpacker(ctx, []string{"cat"}, never)
	must(t, err)
	cancel()
	must(t, r.Close())
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("after Close: %d, %v", n, err)
	}
}

// What we pack is what comes out, at every level.
func TestPack(t *testing.T) {
	short := strings.Repeat("some text that repeats itself, ", 10_000)
	long := strings.Repeat(short, 2*chunkSize/len(short)+1) // three chunks
	var u unpackers                                         // all levels use what the first has left
	for method := range suffixes {
		for _, level := range []int{-1, 0, 1, 9, 99} {
			text := short
			if level == 1 && (!raced || method == "zstd") {
				text = long
			}
			var packed strings.Builder
			w, err := pack(Config{Compression: method, CompressionLevel: level, ParallelCompression: level == 1}, uint64(len(text)), &packed)
			must(t, err)
			_, err = io.WriteString(w, text)
			must(t, errors.Join(err, w.Close()))
			r, err := u.unpack(context.Background(), method, strings.NewReader(packed.String()))
			must(t, err)
			got, err := io.ReadAll(r)
			must(t, errors.Join(err, r.Close()))
			if string(got) != text {
				t.Errorf("%s at level %d: %d bytes of %d came out", method, level, len(got), len(text))
			}
			if method != "none" && level != 0 && packed.Len() > len(text)/10 {
				t.Errorf("%s at level %d: %d bytes", method, level, packed.Len())
			}
		}
	}
}
