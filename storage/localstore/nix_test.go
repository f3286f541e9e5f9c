package localstore_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/localstore"
)

// oddities is a builder: files with the owners' modes, times and links that
// builders leave.
const oddities = `
PATH=/bin:/usr/bin
umask 022
mkdir -p $out/dir/private $out/dir/shared $out/empty
echo text > $out/dir/file
echo script > $out/dir/tool; chmod 755 $out/dir/tool
echo x > $out/dir/private/owner-only; chmod 600 $out/dir/private/owner-only
echo x > $out/dir/private/owner-runs; chmod 700 $out/dir/private/owner-runs
echo x > $out/dir/private/others-run; chmod 611 $out/dir/private/others-run
echo x > $out/dir/shared/world; chmod 666 $out/dir/shared/world
echo x > $out/dir/shared/read-only; chmod 444 $out/dir/shared/read-only
echo x > $out/dir/shared/setuid; chmod 4755 $out/dir/shared/setuid 2>/dev/null || chmod 755 $out/dir/shared/setuid
ln $out/dir/file $out/dir/second-name
ln -s file $out/dir/link
ln -s /nowhere $out/dangling
touch -d @1000000000 $out/dir/tool
touch -h -d @1000000000 $out/dir/link
touch -d @1 $out/dir/file
chmod 700 $out/dir/private
chmod 1777 $out/dir/shared
`

// Both the builder's output and an added file end with the metadata that Nix
// leaves, and the hash that it registers.
func TestMetadataAsNix(t *testing.T) {
	if _, err := exec.LookPath("nix-build"); err != nil {
		missing(t, "nix-build")
	}
	dir := tempDir(t)
	nix := func(args ...string) string {
		t.Helper()
		c := exec.Command(args[0], args[1:]...)
		var failure strings.Builder
		c.Stderr = &failure
		c.Env = append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+dir+"/store", "NIX_STATE_DIR="+dir+"/state",
			"NIX_LOG_DIR="+dir+"/log", "NIX_CONF_DIR="+dir, "NIX_LOCALSTATE_DIR="+dir+"/state", "NIX_USER_CONF_FILES=", "HOME="+dir)
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, &failure)
		}
		return strings.TrimSpace(string(out))
	}
	for name, text := range map[string]string{
		"nix.conf":     "sandbox = false\nbuild-users-group =\nsubstitute = false\n",
		"oddities.nix": `derivation { name = "oddities"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ ./builder.sh ]; }`,
		"builder.sh":   oddities,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	built := nix("nix-build", "--no-out-link", dir+"/oddities.nix")
	ours := dir + "/ours"
	c := exec.Command("/bin/sh", dir+"/builder.sh")
	c.Env = []string{"out=" + ours}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	added := nix("nix-store", "--add", ours)
	copied := dir + "/copied"
	c = exec.Command("cp", "-R", ours, copied)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for ours, theirs := range map[string]string{ours: built, copied: added} {
		if err := localstore.Canonicalise(ours, localstore.Options{BuilderUID: os.Geteuid()}); err != nil {
			t.Fatal(err)
		}
		// A copy has a file for each name of the original.
		if got, want := listing(t, ours, ours != copied), listing(t, theirs, ours != copied); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		scanned, err := localstore.Scan(ours, nil)
		if want := nix("nix-store", "--query", "--hash", theirs); err != nil || scanned.NarHash.String() != want {
			t.Errorf("hash %s %v, want %s", scanned.NarHash, err, want)
		}
	}
}

// listing has a line a file: mode, owner, time and, if wanted, names.
func listing(t *testing.T, top string, names bool) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st := stat(t, p)
		fmt.Fprintf(&b, "%o %d:%d %d.%d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		if names {
			fmt.Fprintf(&b, " %d", st.Nlink)
		}
		fmt.Fprintln(&b, strings.TrimPrefix(p, top))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
