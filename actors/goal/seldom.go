package goal

import (
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// All goals of a request are there from its beginning, and a graph has many: what most
// of them never need has no room in each.

// seldom is what few goals have to remember.
type seldom struct {
	realised    []messages.Output           // where outputs without known paths lie, as far as they do
	found       *messages.RealisationsFound // where outputs without a path lie, as substituters say; nil before
	fetched     []bool                      // which of these are there
	lost        *messages.Result            // of the first fetch that failed; nil where none did
	provisional []storepath.Path            // what was valid and is not on disk yet

	wrong    []storepath.Path      // valid outputs whose contents are not what is recorded
	mended   bool                  // these were to be fetched
	built    []messages.BuiltInput // the inputs, where they are for a resolution
	leading  []leading             // to derivations that are outputs
	resolved storepath.Path        // the derivation that is built in the place of this one

	place  messages.Place // of the slot
	awaits string         // what else than a slot of this machine is awaited
	losses []string       // how machines were lost that built this
}

// What those share that have nothing of that; they are not changed.
var (
	nothingSeldom seldom
	nothingMore   messages.Recipe
)

// own is where a goal notes what is seldom.
func (g *Derivation) own() *seldom {
	if g.seldom == &nothingSeldom {
		g.seldom = &seldom{}
	}
	return g.seldom
}

// queried notes what was found of the outputs.
func (g *Derivation) queried(there []bool, realised []messages.Output) {
	g.there = there
	if len(realised) > 0 || len(g.realised) > 0 {
		g.own().realised = realised
	}
}

// on notes where the slot is, and what else is awaited.
func (g *Derivation) on(p messages.Place, awaits string) {
	if p != g.place || awaits != g.awaits {
		own := g.own()
		own.place, own.awaits = p, awaits
	}
}

// recipe is a [messages.Recipe], as far as it concerns most goals.
type recipe struct {
	Outputs  []messages.Output
	Inputs   []messages.Target
	Sources  []storepath.Path
	Expected time.Duration

	Fixed, OnlyBuilt, PreferLocal, Unknown, Impure, Resolve, Nests bool

	more *messages.Recipe // for CA, Dynamic, Locks and Elsewhere
}

func recipeOf(r *messages.Recipe) recipe {
	short := recipe{Outputs: r.Outputs, Inputs: r.Inputs, Sources: r.Sources, Expected: r.Expected, Fixed: r.Fixed, OnlyBuilt: r.OnlyBuilt,
		PreferLocal: r.PreferLocal, Unknown: r.Unknown, Impure: r.Impure, Resolve: r.Resolve, Nests: r.Nests, more: &nothingMore}
	e := &r.Elsewhere
	if r.CA != "" || len(r.Dynamic) > 0 || len(r.Locks) > 0 || e.Any() || e.NotHere || e.Needs != "" || e.Unfit != "" {
		short.more = r
	}
	return short
}
