package workerproto

import (
	"fmt"
	"slices"

	"troupe/storage/storepath"
)

// Version is a protocol version: major<<8 | minor.
type Version uint16

// MakeVersion is the version major.minor.
func MakeVersion(major, minor uint8) Version { return Version(major)<<8 | Version(minor) }

const (
	// Oldest is the oldest version that is spoken; Nix refuses older ones too.
	Oldest Version = 1<<8 | 18
	// Newest is what Nix 2.34 and 2.35 announce.
	Newest Version = 1<<8 | 38
)

func (v Version) Major() uint8 { return uint8(v >> 8) }
func (v Version) Minor() uint8 { return uint8(v) }

// AtLeast reports whether the version is 1.minor or newer.
func (v Version) AtLeast(minor uint8) bool { return v >= MakeVersion(1, minor) }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major(), v.Minor()) }

// Features by name; both came with Nix 2.35.
const (
	// RealisationWithPath: realisations are named by the path of their
	// derivation instead of a hash, and are no JSON.
	RealisationWithPath = "realisation-with-path-not-hash"
	// DeleteReferrers: a collection may name the whole store, and may delete the
	// referrers of what it names.
	DeleteReferrers = "delete-dead-specific-referrers"
)

// Dialect is what two peers have agreed on. How a message is written depends on
// nothing else.
type Dialect struct {
	Version  Version
	Features []string // of both; sorted
	Dir      storepath.Dir
}

// Has reports whether both peers have a feature.
func (d Dialect) Has(feature string) bool { return slices.Contains(d.Features, feature) }

// Trust is what a server says of its client.
type Trust uint8

const (
	TrustUnknown Trust = iota
	Trusted
	NotTrusted
)

func (t Trust) String() string {
	if int(t) >= len(trustNames) {
		return fmt.Sprintf("trust %d", uint8(t))
	}
	return trustNames[t]
}

var trustNames = [...]string{"unknown", "trusted", "not trusted"}

// Level is how important a line is; a client shows what is at most its own.
type Level uint8

const (
	LevelError Level = iota
	LevelWarn
	LevelNotice
	LevelInfo
	LevelTalkative
	LevelChatty
	LevelDebug
	LevelVomit
)
