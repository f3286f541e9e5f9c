package addition_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// The paths are those of nix store add --mode --hash-algo 2.34.8, in a store of
// the same name: it has methods and algorithms that older ones lack.
func TestMethodsAsNix(t *testing.T) {
	s := newStore(t)
	s.Dir, s.Root = "/tmp/s/store", tempDir(t)
	must(t, localstore.Prepare(s.Layout, ""))
	tree := tempDir(t) + "/gt"
	for _, dir := range []string{"a", "empty", "a.b", "noexec"} {
		must(t, os.MkdirAll(tree+"/"+dir, 0o755))
	}
	must(t, errors.Join(os.WriteFile(tree+"/a/f", []byte("f\n"), 0o644), os.WriteFile(tree+"/a.b/x", []byte("x\n"), 0o644),
		os.WriteFile(tree+"/a0", []byte("z\n"), 0o644), os.WriteFile(tree+"/run", []byte("run\n"), 0o755), os.Symlink("a/f", tree+"/link")))
	text := tempDir(t) + "/text"
	must(t, os.WriteFile(text, []byte("text\n"), 0o644))
	for _, c := range []struct{ method, file, want string }{
		{"fixed:git:sha1", tree, "g3m6fr0i166q2vwy172rwm1cr3plprak-gt"},
		{"fixed:git:sha256", tree, "l8mw0fpvgx0dlk9kf1dmbickrpvxjjfg-gt"},
		{"fixed:git:sha1", text, "ijzhmc72yzibl7xzclwaw48gjqszb5rx-text"},
		{"fixed:git:sha256", text, "0c1y6aap812fnwp1yx1i971rgpsjvw9w-text"},
		{"fixed:git:sha1", tree + "/run", "2qwvwby3xlj2izcl7raj25p5saqaw1ns-runx"},
		{"fixed:git:sha256", tree + "/run", "skhjznlrd0cgdrimzc0l50vf6sg11iwd-runx"},
		{"fixed:md5", text, "4n5bcnb633x9ldd0vr79cqk46n7l72y8-text"},
		{"fixed:sha1", text, "3fw3vcqak0fbwv4jjcdnamzgampwwdli-text"},
		{"fixed:sha256", text, "bcvlvb6vs6rlba26s80vqxw8dbqhir3k-text"},
		{"fixed:sha512", text, "077a2125syq4kk6cxdw8ybgmfr5ggis6-text"},
		{"fixed:blake3", text, "0j1zphf2k3f7ir80wmy33mr4rba7l6z1-text"},
		{"fixed:r:md5", text, "6qbkr4q4d2z9sj1xgygv5qby4sjkv8ap-text"},
		{"fixed:r:sha1", text, "wvgwlzgf139hylh9mm58vg33vpdjhiwb-text"},
		{"fixed:r:sha256", text, "qfwmdgw76v8hxiah46nxkajdfgnsh55v-text"},
		{"fixed:r:sha512", text, "pq1ya8m8252cnlkvlir1k7d3j3ij2g01-text"},
		{"fixed:r:blake3", text, "cl0znhfzv9fb6drij8alsp96m60h0z5g-text"},
		{"text:sha256", text, "0g3vgq911s5n3z7sba9ma4s8fbj33kkj-text"},
	} {
		m, a, err := storepath.ParseMethod(c.method)
		must(t, err)
		sent := archiveOf(t, c.file)
		if m == storepath.Flat || m == storepath.Text {
			sent = []byte("text\n")
		}
		p, err := s.adder().Add(context.Background(), addition.Object{Name: c.want[33:], Method: m, Algorithm: a}, bytes.NewReader(sent))
		if err != nil || p.Base() != c.want {
			t.Errorf("%s of %s: %s, %v; Nix has %s", c.method, c.file, p, err, c.want)
			continue
		}
		info, _, err := s.db.Get(p)
		if err != nil || !strings.HasPrefix(info.CA, c.method+":") {
			t.Errorf("%+v %v", info, err)
		}
		if c.file == tree && info.NarHash.SRI() != "sha256-ceSexldh7eFbCK4J+9mDxOax/A9cddtF1l3GIVo/qxs=" {
			t.Errorf("the archive's hash is %s", info.NarHash.SRI())
		}
	}
}
