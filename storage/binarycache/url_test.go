package binarycache

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"troupe/storage/storeurl"
)

func TestParseURL(t *testing.T) {
	three, yes := 3, true
	for text, want := range map[string]Config{
		"http://a.org/": {},
		"https://u:p@a.org:8/b/?priority=3&want-mass-query=1&trusted=true": {Common: storeurl.Common{Priority: &three, WantMassQuery: &yes, Trusted: true}},
		"file:///a/b?compression=zstd&compression-level=19&parallel-compression=true&secret-key=/k&write-nar-listing=yes&index-debug-info=1&store=/s": {
			Compression: "zstd", CompressionLevel: 19, ParallelCompression: true, SecretKey: "/k", WriteNarListing: true, IndexDebugInfo: true, Common: storeurl.Common{StoreDir: "/s"}},
		"s3://bucket?region=eu-west-1&profile=p&multipart-upload=true": {S3: &s3{Region: "eu-west-1", Scheme: "https", Profile: "p"},
			Warnings: []string{"setting 'multipart-upload' of 's3://bucket' has no effect"}},
		"http://a.org?foo=1&path-info-cache-size=3": {Warnings: []string{"setting 'path-info-cache-size' of 'http://a.org' has no effect", "unknown setting 'foo' of 'http://a.org'"}},
	} {
		got, err := ParseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		bare, _, _ := strings.Cut(text, "?")
		if got.URL.String() != strings.TrimRight(bare, "/") {
			t.Errorf("%s is at %s", text, got.URL)
		}
		if got.URL = nil; want.Compression == "" {
			want.Compression, want.CompressionLevel = "xz", -1
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"/a":                      "scheme '' is none of file, http, https, s3",
		"ssh://a":                 "scheme 'ssh' is none of file, http, https, s3",
		"file://host/a":           "it names no directory of this machine",
		"http:///a":               "it names no host",
		"s3://a?scheme=ftp":       "'ftp' is neither http nor https",
		"s3://a?endpoint=x/y":     "'x/y' is not a host",
		"http://u:pw@a:b/":        "it is not a URL",
		"http://u:pw@a?trusted=x": "read store URL 'http://u:xxxxx@a': setting 'trusted': 'x' is not a Boolean",
		"http://a?compression=x":  "unknown compression method 'x'",
		"http://a?priority=":      "'' is not a number",
		"http://a?store=x":        "store directory 'x' is not an absolute path",
		"http://a?%zz":            "its settings are not a query",
	} {
		if _, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("https://u:p@a.org:8/b/?priority=3&want-mass-query=1&trusted=true")
	f.Add("file:///a?x")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseURL(text)
		if err != nil {
			return
		}
		again, err := ParseURL(c.URL.String())
		if err != nil || again.URL.String() != c.URL.String() {
			t.Errorf("%q is at %q, and that at %v, %v", text, c.URL, again.URL, err)
		}
	})
}

// A cache says what it is, and its URL may say otherwise.
func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		name, text, settings, want string
	}{
		{"as Nix makes it", "StoreDir: /nix/store\n", "", "/nix/store 0 false"},
		{"all of it", "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n", "", "/nix/store 40 true"},
		{"what the URL says counts", "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n", "?priority=-7&want-mass-query=false", "/nix/store -7 false"},
		{"unknown lines", "what is this\nFoo: bar\nPriority:9", "", "/nix/store 9 false"},
		{"another store", "StoreDir: /gnu/store\n", "", "is for Nix stores with prefix '/gnu/store', not '/nix/store'"},
		{"that other store is wanted", "StoreDir: /gnu/store\n", "?store=/gnu/store", "/gnu/store 0 false"},
		{"not a store", "StoreDir: nix\n", "", "StoreDir: store directory 'nix' is not an absolute path"},
		{"not a number", "Priority: high\n", "", "Priority: 'high' is not a number"},
		{"no cache", "", "", "does not appear to be a binary cache"},
	} {
		dir := t.TempDir()
		if c.text != "" {
			must(t, os.WriteFile(filepath.Join(dir, infoFile), []byte(c.text), 0o644))
		}
		cache, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + dir + c.settings)
		must(t, err)
		d, err := cache.Describe(context.Background())
		got := fmt.Sprint(d.StoreDir, " ", d.Priority, " ", d.WantMassQuery)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Whatever name is let through stays in the directory, and on the server below the cache's path.
func FuzzCheckName(f *testing.F) {
	for _, name := range []string{"nar/x.nar.xz", "nar/x.nar?hash=abc", "..", "/etc", "http://x/y", "a/%2e%2e/b", "//x/y", "a\\b", "a#b", "%2f..", "x:y"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		if !filepath.IsLocal(name) {
			t.Errorf("%q leaves the directory", name)
		}
		u, err := url.Parse("http://cache.example/x/" + name)
		if err != nil {
			return // it is never sent
		}
		if u.Host != "cache.example" || !strings.HasPrefix(path.Clean(u.Path), "/x/") || u.User != nil {
			t.Errorf("%q leads to %v", name, u)
		}
	})
}

func FuzzDescription(f *testing.F) {
	f.Add("StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n")
	f.Add("x\nPriority:-1")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDescription([]byte(text))
		if err != nil {
			return
		}
		again, err := parseDescription(fmt.Appendf(nil, "StoreDir: %s\nWantMassQuery: %d\nPriority: %d\n", cmp.Or(d.StoreDir, "/nix/store"),
			map[bool]int{true: 1}[d.WantMassQuery], d.Priority))
		d.StoreDir = cmp.Or(d.StoreDir, "/nix/store")
		if err != nil || again != d {
			t.Errorf("%q reads as %+v, and that as %+v, %v", text, d, again, err)
		}
	})
}

func TestParseRange(t *testing.T) {
	for text, want := range map[string]string{
		"bytes 10-19/20": "10 20", "bytes 10-19/*": "10 -1", "bytes -1-2/3": "", "bytes */20": "", "": "", "bytes 9223372036854775808-1/2": "",
	} {
		from, size, err := parseRange(text)
		got := fmt.Sprint(from, " ", size)
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%q reads as %q, want %q", text, got, want)
		}
	}
}
