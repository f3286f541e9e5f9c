// Package localstore holds the files of a store: where they are, how they are
// made canonical, moved, flushed and removed. It knows nothing of what is valid.
package localstore

import (
	"path/filepath"

	"troupe/storage/storepath"
)

// Layout says what the paths of a store read as, and where its files are.
type Layout struct {
	Dir      storepath.Dir // what paths read as
	Root     string        // before Dir, where the files are; "" when the store is where it says
	StateDir string        // where the files are
	LogDir   string        // where the files are
}

// RealStoreDir is the directory that the store's files are in.
func (l Layout) RealStoreDir() string { return l.Root + string(l.Dir) }

// RealPath is where the files of a store path are.
func (l Layout) RealPath(p storepath.Path) string { return l.RealStoreDir() + "/" + p.Base() }

// stagingName is no store path, and hidden from a plain listing.
const stagingName = ".troupe-staging"

// StagingDir is a directory on the store's file system that only the service
// can enter; what is added to the store is made there first.
func (l Layout) StagingDir() string { return filepath.Join(l.RealStoreDir(), stagingName) }

// LinksDir has a second name for every file whose contents other files of the
// store share: the hash of its archive. It is Nix's too.
func (l Layout) LinksDir() string { return filepath.Join(l.RealStoreDir(), ".links") }

// BuildsDir is where build directories are made unless settings say otherwise.
// It is not in a directory that everybody can write to.
func (l Layout) BuildsDir() string { return filepath.Join(l.StateDir, "builds") }

// SandboxesDir holds the roots of sandboxes; outputs are renamed out of them.
func (l Layout) SandboxesDir() string { return filepath.Join(l.StagingDir(), "roots") }
