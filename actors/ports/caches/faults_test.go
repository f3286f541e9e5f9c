package caches

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/binarycache"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/realisation"
	"troupe/storage/signature"
	"troupe/storage/storepath"
)

// summary is what a goal was told, in short.
func summary(told []messages.Message) string {
	var words []string
	for _, m := range told {
		words = append(words, messages.Name(m))
	}
	return strings.Join(words, " ")
}

// What goes wrong with a NAR is told, leaves nothing behind, and does no harm to the
// same path from another cache.
func TestFaultsOfNARs(t *testing.T) {
	for what, f := range map[string]func(rw http.ResponseWriter, whole []byte){
		"dies in the middle": func(rw http.ResponseWriter, whole []byte) {
			rw.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			rw.Write(whole[:len(whole)/2])
			panic(http.ErrAbortHandler)
		},
		"ends in the middle": func(rw http.ResponseWriter, whole []byte) { rw.Write(whole[:len(whole)/2]) },
		"one byte at a time": func(rw http.ResponseWriter, whole []byte) {
			rw.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			for i := range whole {
				if _, err := rw.Write(whole[i : i+1]); err != nil {
					return
				}
				rw.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		},
		"lies": func(rw http.ResponseWriter, whole []byte) {
			changed := append([]byte(nil), whole...)
			changed[len(changed)/2]++
			rw.Write(changed)
		},
		"sends something else": func(rw http.ResponseWriter, _ []byte) { rw.Write([]byte("<html>")) },
		"refuses":              func(rw http.ResponseWriter, _ []byte) { rw.WriteHeader(http.StatusInternalServerError) },
		"has it no more":       func(rw http.ResponseWriter, _ []byte) { rw.WriteHeader(http.StatusNotFound) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			bad, good := w.proxy(onNARs(f, w.cache)), w.proxy(healthy)
			w.policy.Builtin.Attempts = 2
			w.policy.Caches.Substituters = []string{bad}
			told := w.fetch(0)
			if summary(told) != "path-found fetch-failed" {
				t.Errorf("told %v", told)
			} else if failed := told[1].(*messages.FetchFailed); failed.Reason == "" || failed.Gone != (what == "has it no more") || failed.More {
				t.Errorf("told %v", failed)
			}
			w.want(0, false)
			w.policy.Caches.Substituters = []string{bad + "?priority=1", good + "?priority=2"}
			if told := summary(w.fetch(0)); told != "path-found fetch-failed path-found path-fetched" {
				t.Errorf("with another cache: told %s", told)
			}
			w.want(0, true)
		})
	}
}

// A server that answers every third request with an error gives all paths, and those
// that break off once go on.
func TestEveryThirdRequestFails(t *testing.T) {
	w := newWorld(t, 5)
	w.policy.Caches.Substituters = []string{w.proxy(func(rw http.ResponseWriter, r *http.Request, n int) bool {
		if n%3 == 0 {
			rw.WriteHeader(http.StatusInternalServerError)
		}
		return n%3 == 0
	})}
	for i := range w.infos {
		if told := summary(w.fetch(i)); told != "path-found path-fetched" {
			t.Errorf("%d: told %s", i, told)
		}
		w.want(i, true)
	}
}

// What is said of a path and is not so, or is vouched for by nobody, is not taken.
func TestFaultsOfNarinfos(t *testing.T) {
	w := newWorld(t, 2)
	url := w.proxy(func(rw http.ResponseWriter, r *http.Request, _ int) bool {
		if r.URL.Path != "/"+narinfo.FileName(w.infos[0].Path) {
			return false
		}
		text, err := os.ReadFile(w.cache + "/" + narinfo.FileName(w.infos[1].Path))
		if err != nil {
			panic(err)
		}
		rw.Write(text)
		return true
	})
	w.policy.Caches.Substituters = []string{url}
	if told := w.fetch(0); summary(told) != "look-up-failed" || !strings.Contains(told[0].(*messages.LookUpFailed).Reason, "it is about") {
		t.Errorf("told %v", told)
	}
	w.want(0, false)
	w.policy.Caches.Trust.Everything = false
	if told := w.fetch(1); summary(told) != "path-not-found" || !strings.Contains(told[0].(*messages.PathNotFound).Warning, "not signed by any of the keys") {
		t.Errorf("told %v", told)
	}
	w.want(1, false)
	w.policy.Caches.Substituters = []string{url + "?trusted=true"}
	if told := w.fetch(1); summary(told) != "path-found path-fetched" {
		t.Errorf("told %v", told)
	}
	w.want(1, true)
}

// A fetch that is given up ends, and says so when nothing of it is left.
func TestKillFetch(t *testing.T) {
	w := newWorld(t, 1)
	w.policy.Builtin.StallTimeout = 0 // it would wait for ever
	begun := make(chan struct{})
	w.policy.Caches.Substituters = []string{w.proxy(func(rw http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.HasPrefix(r.URL.Path, "/nar/") {
			return false
		}
		rw.Write(make([]byte, 10))
		rw.(http.Flusher).Flush()
		close(begun)
		<-r.Context().Done()
		return true
	})}
	w.ask(&messages.LookUpPath{From: goal, Path: w.infos[0].Path})
	w.port.Handle(&messages.FetchPath{From: goal, Path: w.infos[0].Path})
	<-begun
	if m, is := w.ask(&messages.KillFetch{Goal: goal, From: goal}).(*messages.FetchKilled); !is {
		t.Errorf("told %v", m)
	}
	w.want(0, false)
}

// A repair takes the place of what is valid; without, what is there stays.
func TestFetchToRepair(t *testing.T) {
	w := newWorld(t, 1)
	w.policy.Caches.Substituters = []string{"file://" + w.cache}
	w.fetch(0)
	real := w.layout.RealPath(w.infos[0].Path)
	if err := os.Chmod(real, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, os.WriteFile(real, []byte("bad"), 0o644))
	w.fetch(0)
	if text, err := os.ReadFile(real); string(text) != "bad" || err != nil {
		t.Errorf("without repair it is %.20q, %v", text, err)
	}
	w.ask(&messages.LookUpPath{From: goal, Path: w.infos[0].Path})
	if m, is := w.ask(&messages.FetchPath{From: goal, Path: w.infos[0].Path, Repair: true}).(*messages.PathFetched); !is {
		t.Errorf("told %v", m)
	}
	w.want(0, true)
}

// Where an output lies is believed of who is trusted alone: the first cache that says
// so with a signature, or that is trusted.
func TestWhoIsBelievedOfRealisations(t *testing.T) {
	w := newWorld(t, 2)
	must(t, os.WriteFile(w.cache+"/key", []byte("test-1:j1Ar2aNjYzLHzeaRpGU0GtSgyQHJhF2olkwQmEHEmZSheXfUI1ykr9MMBdXCjjE3vtShaVGtq85Ggzg9+Znlhw=="), 0o600))
	secret, err := signature.ReadSecretKeys([]string{w.cache + "/key"})
	must(t, err)
	id := realisation.ID{Hash: nixhash.Sum(nixhash.SHA256, []byte("drv")), Output: "out"}
	url := func(name string, r realisation.Realisation) string {
		c, err := binarycache.NewPool(binarycache.Settings{StoreDir: "/nix/store"}).Open("file://" + t.TempDir() + "/" + name)
		must(t, err)
		must(t, c.Create(context.Background()))
		must(t, c.PutRealisation(context.Background(), r))
		return c.String()
	}
	signed := realisation.Realisation{ID: id, Path: w.infos[1].Path}
	text, err := signed.Fingerprint()
	must(t, err)
	sig, err := secret[0].Sign(nil, text)
	must(t, err)
	signed.Signatures = []string{sig.String()}
	forged := realisation.Realisation{ID: id, Path: w.infos[0].Path, Signatures: signed.Signatures}
	bad, good := url("bad", forged), url("good", signed)
	for _, c := range []struct {
		caches   []string
		trust    addition.Trust
		want     string
		warnings int
	}{
		{[]string{bad}, addition.Trust{Keys: secret.Public()}, "", 1},
		{[]string{bad, good}, addition.Trust{Keys: secret.Public()}, w.infos[1].Path.Base(), 1},
		{[]string{bad, good}, addition.Trust{}, "", 2},
		{[]string{bad + "?trusted=true", good}, addition.Trust{}, w.infos[0].Path.Base(), 0},
		{[]string{bad, good}, addition.Trust{Everything: true}, w.infos[0].Path.Base(), 0},
		{[]string{w.proxy(func(rw http.ResponseWriter, r *http.Request, _ int) bool {
			if strings.HasPrefix(r.URL.Path, "/realisations/") {
				rw.Write([]byte("<html>"))
			}
			return strings.HasPrefix(r.URL.Path, "/realisations/")
		}), good}, addition.Trust{Keys: secret.Public()}, w.infos[1].Path.Base(), 0},
	} {
		w.policy.Caches.Substituters, w.policy.Caches.Trust = c.caches, c.trust
		r, err := w.port.subs.Realised(t.Context(), "", id)
		got := ""
		if !r.Path.IsZero() {
			got = r.Path.Base()
		}
		if got != c.want || len(r.Warnings) != c.warnings || err != nil {
			t.Errorf("%v: %s, %v, %v", c.caches, got, r.Warnings, err)
		}
	}
}

// TestEvilArchives: a cache may say the truth of an archive that is evil: hash, size and
// signature are right, and it is refused for what it holds. Nothing is seen of it, and
// where its links lead nothing has changed.
func TestEvilArchives(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/a", []byte("mine"), 0o644))
	dir := func(entries ...string) string {
		return words("(", "type", "directory") + strings.Join(entries, "") + words(")")
	}
	entry := func(name, node string) string { return words("entry", "(", "name", name, "node") + node + words(")") }
	file := words("(", "type", "regular", "contents", "evil", ")")
	away := words("(", "type", "symlink", "target", outside, ")")
	deep := func(levels int) string {
		return strings.Repeat(words("(", "type", "directory", "entry", "(", "name", "a", "node"), levels) + file + strings.Repeat(words(")", ")"), levels)
	}
	huge := strings.Repeat("\xff", 8)
	for what, evil := range map[string]string{
		"a link, and a directory through it": dir(entry("a", away), entry("a", dir(entry("a", file)))),
		"twice":                              dir(entry("a", file), entry("a", file)),
		"not in order":                       dir(entry("b", file), entry("a", file)),
		"without a name":                     dir(entry("", file)),
		"itself":                             dir(entry(".", file)),
		"upwards":                            dir(entry("..", file)),
		"a way":                              dir(entry("a", away), entry("a/a", file)),
		"a zero":                             dir(entry("a\x00", file)),
		"65 deep":                            deep(65),
		"10,000 deep":                        deep(10_000),
		"a link to nowhere":                  words("(", "type", "symlink", "target", "", ")"),
		"padding":                            strings.Replace(file, "evil\x00", "evil\x01", 1),
		"another order":                      words("(", "type", "regular", "contents", "evil", "executable", "", ")"),
		"2^64-1 bytes":                       words("(", "type", "regular", "contents") + huge,
		"a name of 2^64-1 bytes":             words("(", "type", "directory", "entry", "(", "name") + huge,
	} {
		for _, compression := range []string{"none", "zstd"} {
			w := newWorld(t, 0)
			archive := words("nix-archive-1") + evil
			p, err := storepath.ParseBase(strings.Repeat("0", 32) + "-evil")
			must(t, err)
			info := narinfo.Info{Path: p, URL: "nar/evil.nar", Compression: compression, NarHash: nixhash.Sum(nixhash.SHA256, []byte(archive)), NarSize: uint64(len(archive))}
			packed := []byte(archive)
			if compression == "zstd" {
				encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
				must(t, err)
				packed = encoder.EncodeAll(packed, nil)
			}
			must(t, os.MkdirAll(w.cache+"/nar", 0o755))
			must(t, os.WriteFile(w.cache+"/"+info.URL, packed, 0o644))
			must(t, os.WriteFile(w.cache+"/nix-cache-info", []byte("StoreDir: /nix/store\n"), 0o644))
			must(t, os.WriteFile(w.cache+"/"+narinfo.FileName(p), []byte(info.Print("/nix/store")), 0o644))
			w.infos, w.policy.Caches.Substituters = []narinfo.Info{info}, []string{"file://" + w.cache}
			told := w.fetch(0)
			if summary(told) != "path-found fetch-failed" {
				t.Errorf("%s, %s: told %v", what, compression, told)
			} else if reason := told[1].(*messages.FetchFailed).Reason; !strings.Contains(reason, "bad archive") {
				t.Errorf("%s, %s: %s", what, compression, reason)
			}
			w.want(0, false)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside are %v, %v", left, err)
	}
	if text, err := os.ReadFile(outside + "/a"); err != nil || string(text) != "mine" {
		t.Errorf("outside is %q, %v", text, err)
	}
}

// words are strings as an archive has them.
func words(list ...string) string {
	var b strings.Builder
	for _, s := range list {
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))
		b.WriteString(s + strings.Repeat("\x00", -len(s)&7))
	}
	return b.String()
}
