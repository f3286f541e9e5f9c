package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// closedPaths are what a database has, with references.
type closedPaths map[storepath.Path][]storepath.Path

// replay does what was recorded, but for one call, and looks after each that a
// crash would be different after. It returns what is wrong first.
func (r *recording) replay(t *testing.T, without int) (faults []string) {
	t.Helper()
	p := &player{recording: r, disk: newDisk(r.layout.Root, r.before), printed: map[string]bool{}}
	for _, e := range r.events(without) {
		relevant, err := p.play(e)
		if err == nil && relevant {
			faults, err = p.look()
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) > 0 {
			return append(faults, fmt.Sprintf("after %s(%.300s)", e.name, e.args))
		}
	}
	r.printed = len(p.printed)
	return nil
}

// event is the begin or the end of a call.
type event struct {
	call
	line int
	ends bool
}

func (r *recording) events(without int) (all []event) {
	for n, c := range r.calls {
		if n != without {
			all = append(all, event{c, c.begin, false}, event{c, c.end, true})
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return a.line - b.line })
	return all
}

type player struct {
	*recording
	disk    *disk
	printed map[string]bool
}

// play says whether a crash after it is different from one before. Nothing is
// flushed before the call that flushes has ended, and any part of the database
// may reach the disk as soon as it is being written; what is printed is known
// as soon.
func (p *player) play(e event) (relevant bool, err error) {
	fd, path := e.file()
	database := strings.HasPrefix(path, databaseDir(p.layout)) || strings.Contains(e.args, databaseDir(p.layout)+"/")
	early := e.name == "write" && (database || fd == "1")
	switch {
	case !e.ends && fd == "1" && e.name == "write":
		p.print(e.texts()[0])
		return true, nil
	case !e.ends && early:
		return true, p.disk.finish(e.call)
	case !e.ends:
		p.disk.start(e.call)
		return false, nil
	case early:
		return false, nil
	}
	return database || strings.Contains(e.name, "sync"), p.disk.finish(e.call)
}

func (p *player) print(text string) {
	for line := range strings.Lines(text) {
		p.printed[strings.TrimSuffix(line, "\n")] = true
	}
}

// look crashes twice: once nothing is left of the database but what was
// flushed, and once all that was written.
func (p *player) look() (faults []string, err error) {
	for _, lucky := range []bool{false, true} {
		valid, err := p.database(lucky)
		if err != nil {
			return nil, err
		}
		for path, refs := range valid {
			faults = append(faults, p.whole(path)...)
			for _, ref := range refs {
				if _, ok := valid[ref]; !ok {
					faults = append(faults, fmt.Sprintf("%s is valid, and refers to %s, which is not", path, ref))
				}
			}
		}
		for path := range p.printed {
			if parsed, err := storeDir.Parse(path); err != nil || valid[parsed] == nil {
				faults = append(faults, fmt.Sprintf("%s was printed and is not valid: %v", path, err))
			}
		}
	}
	return faults, nil
}

func (p *player) whole(path storepath.Path) []string {
	want := p.trees[path.Base()]
	if want == nil {
		return []string{path.Base() + " is valid and was never there"}
	}
	return lost(want, p.disk.survivor(p.layout.RealPath(path)), path.Base())
}

// database opens what is left. The same files were perhaps opened before.
func (p *player) database(lucky bool) (closedPaths, error) {
	dir := p.disk.survivor(databaseDir(p.layout))
	if lucky {
		dir = p.disk.find(databaseDir(p.layout))
	}
	if dir == nil {
		return nil, nil
	}
	files := map[string][]byte{}
	names := dir.kept.names
	if lucky {
		names = dir.names
	}
	for name, n := range names {
		files[name] = n.kept.data
		if lucky {
			files[name] = n.data
		}
	}
	key := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(key, "%q %x\n", name, sha256.Sum256(files[name]))
	}
	k := string(key.Sum(nil))
	if p.databases[k] == nil {
		valid, err := openFiles(files)
		if err != nil {
			return nil, err
		}
		p.databases[k] = valid
	}
	return p.databases[k], nil
}

func openFiles(files map[string][]byte) (valid closedPaths, err error) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("/db", 0o755); err != nil {
		return nil, err
	}
	for name, data := range files {
		f, err := mem.Create("/db/"+name, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(data)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	db, err := validity.Open("/db", validity.Options{FS: mem})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	valid = closedPaths{}
	for info, err := range db.All() {
		if err != nil {
			return nil, err
		}
		valid[info.Path] = append([]storepath.Path{}, info.References...)
	}
	return valid, nil
}
