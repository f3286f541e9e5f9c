package validity

import (
	"time"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Info is what is known of a valid path.
type Info struct {
	Path             storepath.Path
	NarHash          nixhash.Hash
	NarSize          uint64           // bytes; 0 where unknown
	References       []storepath.Path // sorted, without repeats; may have Path itself
	Deriver          storepath.Path   // zero where unknown
	RegistrationTime int64            // seconds since 1970
	Ultimate         bool             // made here, not copied from elsewhere
	Signatures       []string         // "<key name>:<base64>"
	CA               string           // content address as Nix writes it; "" for none
}

// Build is what is known of one run of a builder.
type Build struct {
	Start, Stop time.Time
	UserCPU     time.Duration
	SystemCPU   time.Duration
	PeakMemory  uint64 // bytes
	Log         string // where its log is, as the caller names it
	Failure     string // the failure's class; "" when it succeeded
}

// Duration is the build's time by the clock.
func (b Build) Duration() time.Duration { return b.Stop.Sub(b.Start) }

// Registration is all that one build, substitution or addition has taught. With
// a derivation that becomes valid come its outputs, as far as they are known
// before it is built: Derivers and Outputs know what they are told here.
type Registration struct {
	Paths   []Info                    // they become valid together
	Drv     storepath.Path            // of what is below; zero where there is none
	Outputs map[string]storepath.Path // of Drv, by output name
	Build   *Build                    // of Drv
	// Realisations are on disk once their paths are. Of a path that is on disk
	// already they are written at once, and synced with the next commit.
	Realisations []Realisation
}

func (r Registration) succeeded() bool { return r.Build != nil && r.Build.Failure == "" }

// Failure is why a path is in the failure cache.
type Failure struct {
	Class string
	Time  int64 // seconds since 1970
}
