package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/cmd/troupe/config"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/storeurl"
)

// location says where the store is: what its paths read as, and where the
// files really lie.
type location = localstore.Layout

// locate chooses the store.
//
//  1. --store DIR: below DIR, read as /nix/store (or as NIX_STORE_DIR).
//  2. NIX_STORE_DIR, NIX_STATE_DIR or NIX_LOG_DIR: there.
//  3. /nix: for root where it exists, for others where a daemon serves it, or
//     where it is theirs and not in the care of Nix.
//  4. A directory of the user's: XDG_DATA_HOME/troupe, read as /nix/store.
func locate(storeFlag string, env func(string) (string, bool), euid int, listens func(socket string) bool, theirs func(location) bool) (location, error) {
	dir, err := storepath.ParseDir(setOr(env, "NIX_STORE_DIR", "/nix/store"))
	if err != nil {
		return location{}, fmt.Errorf("NIX_STORE_DIR: %w", err)
	}
	named := false
	for _, v := range []string{"NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR"} {
		_, set := env(v)
		named = named || set
	}
	state := setOr(env, "NIX_STATE_DIR", "/nix/var/nix")
	logs := setOr(env, "NIX_LOG_DIR", "/nix/var/log/nix")
	root := storeFlag
	l := location{Dir: dir, Root: root, StateDir: root + state, LogDir: root + logs}
	if root != "" || named || euid == 0 && exists("/nix") || listens(daemonSocket(l, env)) || theirs(l) {
		return l, nil
	}
	if root, err = userDir(env); err != nil {
		return location{}, err
	}
	return location{Dir: dir, Root: root, StateDir: root + state, LogDir: root + logs}, nil
}

// localStore is the directory that a store lies in, "" for the one of the command, and
// the settings of nix.conf that are among those of its URL: DIR, local, or
// local?root=DIR.
func localStore(text string) (root string, more []config.Override, err error) {
	if isDir := strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../"); isDir && !strings.Contains(text, "?") {
		root, err = filepath.Abs(text)
		return root, nil, err
	}
	u, settings, err := storeurl.Parse(text)
	if err != nil {
		return "", nil, err
	}
	if name := u.String(); strings.HasPrefix(name, "/") {
		root = u.Path
	} else if name != "local" && name != "local://" {
		return "", nil, hinted(&codedError{code: exitUsage, text: fmt.Sprintf("open store '%s': it is no store's URL", u.Redacted())}, "troupe copy --help names the kinds of stores")
	}
	for key, values := range settings {
		switch value := values[len(values)-1]; key {
		case "root":
			root = value
		case "system-features":
			more = append(more, config.Override{Name: key, Value: value})
		default:
			return "", nil, &codedError{code: exitUsage, text: fmt.Sprintf("open store 'local': setting '%s' is not known", key)}
		}
	}
	return root, more, nil
}

// storeFlag is [localStore] of the command line's, where any other word is a directory.
func storeFlag(text string) (root string, more []config.Override, err error) {
	switch {
	case text == "":
		return "", nil, nil
	case strings.ContainsAny(text, "?:") || text == "local":
		return localStore(text)
	}
	root, err = filepath.Abs(text)
	return root, nil, err
}

func userDir(env func(string) (string, bool)) (string, error) {
	if data, ok := env("XDG_DATA_HOME"); ok && filepath.IsAbs(data) {
		return filepath.Join(data, "troupe"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", hinted(fmt.Errorf("choose store: %w", err), "name a directory for it: troupe --store DIR …")
	}
	return filepath.Join(home, ".local/share/troupe"), nil
}

// theirs reports whether a store is the user's own, as Nix sees it: its state can be
// written.
func theirs(l location) bool {
	return unix.Access(l.StateDir, unix.R_OK|unix.W_OK) == nil && (exists(databaseDir(l)) || !exists(filepath.Join(l.StateDir, "db", "db.sqlite")))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func setOr(env func(string) (string, bool), name, otherwise string) string {
	if v, ok := env(name); ok && v != "" {
		return v
	}
	return otherwise
}
