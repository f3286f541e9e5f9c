package localstore

import (
	"slices"

	"troupe/storage/storepath"
)

// held are the paths of one owner, each once. Most owners are goals, of which there
// are many with a path or two each: a set of their own would be larger than all else
// that is known of them here.
type held struct {
	all  []storepath.Path
	seen map[storepath.Path]struct{} // all, once they are more than fewHeld; nil before
}

// fewHeld paths are looked through one by one.
const fewHeld = 8

// add reports whether the path was not there.
func (h *held) add(p storepath.Path) bool {
	if h.seen == nil && len(h.all) > fewHeld {
		h.seen = make(map[storepath.Path]struct{}, 2*len(h.all))
		for _, one := range h.all {
			h.seen[one] = struct{}{}
		}
	}
	if h.has(p) {
		return false
	}
	h.all = append(h.all, p)
	if h.seen != nil {
		h.seen[p] = struct{}{}
	}
	return true
}

func (h *held) has(p storepath.Path) bool {
	if h.seen == nil {
		return slices.Contains(h.all, p)
	}
	_, has := h.seen[p]
	return has
}
