package graph

import (
	"slices"

	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

func sortPaths(list []storepath.Path) { slices.SortFunc(list, storepath.Path.Compare) }

func sortInputs(list []derivation.Input) {
	slices.SortFunc(list, func(a, b derivation.Input) int { return a.Path.Compare(b.Path) })
}
