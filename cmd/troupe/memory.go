package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"troupe/actors/ports/caches"
)

// memory says where it is remembered what substituters say. A store below a
// directory of its own has it there. Of others it is in the user's directory for
// caches, by the name of the state directory: it outlives a store that is wiped.
//
// Nix has it in files binary-cache-* of its directory there, which people delete to
// make it ask again; our marker is one of them. And, as in Nix, with the variable
// that its functional tests set, directories are treated as servers are.
func memory(l location) caches.Memory {
	m := caches.Memory{Files: os.Getenv("_NIX_FORCE_HTTP") == "1"}
	ours, nix, ok := cacheDirs(os.LookupEnv, homeDir)
	if l.Root != "" || !ok {
		m.Dir = filepath.Join(l.StateDir, "troupe", "narinfos")
		return m
	}
	m.Dir = filepath.Join(ours, "narinfos", fmt.Sprintf("%.16x", sha256.Sum256([]byte(l.StateDir))))
	m.Marker = filepath.Join(nix, "binary-cache-troupe")
	return m
}

// cacheDirs are the directories for what may be lost: troupe's and Nix's.
func cacheDirs(env func(string) (string, bool), home func() string) (ours, nix string, ok bool) {
	above := setOr(env, "XDG_CACHE_HOME", "")
	if !filepath.IsAbs(above) {
		above = home()
		if above == "" {
			return "", "", false
		}
		above = filepath.Join(above, ".cache")
	}
	return filepath.Join(above, "troupe"), setOr(env, "NIX_CACHE_HOME", filepath.Join(above, "nix")), true
}

// homeDir is the user's, "" if there is none. A service often has no HOME.
func homeDir() string {
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return home
	}
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.HomeDir
}
