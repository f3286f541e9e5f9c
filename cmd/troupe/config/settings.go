// Package config reads the settings of a Nix installation under Nix's names: nix.conf with its includes,
// the user's files, NIX_CONFIG and "--option NAME VALUE". It knows every setting of Nix 2.34.8; which of
// them troupe acts on is in docs/settings.md, and a setting that has no effect here is said so once.
// It is unaware of what the settings do.
package config

import (
	"math"
	"time"
)

// SandboxMode is the value of "sandbox": Nix has no yes, no, 1 or 0 for this one.
type SandboxMode string

// The three values of SandboxMode. Relaxed lets a derivation with __noChroot out of the sandbox.
const (
	SandboxOn      SandboxMode = "true"
	SandboxOff     SandboxMode = "false"
	SandboxRelaxed SandboxMode = "relaxed"
)

// CgroupMode is the value of "use-cgroups".
type CgroupMode string

// The values of CgroupMode. CgroupsWanted, where builders without a cgroup are well,
// is what nobody can set: it is the default, and Nix's is CgroupsOff.
const (
	CgroupsWanted CgroupMode = ""
	CgroupsNeeded CgroupMode = "true"
	CgroupsOff    CgroupMode = "false"
)

// SandboxPath is one entry of "sandbox-paths": a host path and where a builder sees it.
type SandboxPath struct {
	Inside, Outside string
	// Optional entries, written with a "?" at the end, are left out where the host has none.
	Optional bool
}

// Settings holds the settings that have a typed value. The zero value means nothing; start from Defaults.
// Sets of words are sorted and free of duplicates. Slices and maps are never changed in place, so a copy
// of the struct can be changed with Set without touching the original.
type Settings struct {
	// MaxJobs is the number of local builds at a time; "auto" has become the number of CPUs.
	MaxJobs uint
	// Cores becomes NIX_BUILD_CORES; 0 stands for all that the machine has.
	Cores uint
	// MaxSubstitutionJobs is the number of paths fetched at a time.
	MaxSubstitutionJobs uint

	KeepGoing, KeepFailed, Fallback bool
	// MaxSilentTime and Timeout end a build that is silent, or simply runs, for longer; 0 is no limit.
	MaxSilentTime, Timeout time.Duration

	Sandbox         SandboxMode
	SandboxPaths    []SandboxPath // sorted by Inside
	SandboxFallback bool
	// SandboxBuildDir is the build directory as the builder sees it.
	SandboxBuildDir string
	// SandboxDevShmSize is the size option of the tmpfs at /dev/shm: "50%", "1g".
	SandboxDevShmSize string
	// BuildDir is where build directories are made; empty stands for a directory of the state directory.
	BuildDir string

	// BuildUsersGroup is the group whose members builders run as; empty runs them as this very user.
	BuildUsersGroup  string
	AutoAllocateUIDs bool
	// StartID and IDCount delimit the uids of auto-allocate-uids.
	StartID, IDCount uint32
	UseCgroups       CgroupMode

	System                         string
	ExtraPlatforms, SystemFeatures []string
	ImpersonateLinux26             bool
	// ExperimentalFeatures are those that are on.
	ExperimentalFeatures []string

	FilterSyscalls, AllowNewPrivileges bool
	RequireDropSupplementaryGroups     bool
	// ImpureEnv overrides the service's own environment for impureEnvVars.
	ImpureEnv map[string]string

	KeepBuildLog, CompressBuildLog bool
	// MaxBuildLogSize in bytes ends a build that says more; 0 is no limit.
	MaxBuildLogSize uint64
	// LogLines is how much of a failed build's log is shown.
	LogLines uint

	// NetrcFile need not exist.
	NetrcFile string
	// SSLCertFile is a bundle of authorities in PEM; empty where the host has none.
	SSLCertFile string
	// ConnectTimeout and StalledDownloadTimeout give up on a server; 0 is no limit.
	ConnectTimeout, StalledDownloadTimeout time.Duration
	DownloadAttempts                       uint

	// KeepDerivations keeps what made a live path from the collector, KeepOutputs what a live derivation makes.
	KeepDerivations, KeepOutputs bool
	// MinFree bytes or less begin a collection while a build runs, MaxFree end it; 0 begins none.
	MinFree, MaxFree uint64
	// MinFreeCheckInterval is how often free space is looked at.
	MinFreeCheckInterval time.Duration

	Store        string
	Substitute   bool
	Substituters []string
	// AlwaysAllowSubstitutes fetches also what a derivation does not want to be fetched.
	AlwaysAllowSubstitutes bool
	// HTTPConnections is how many there may be to one server; 0 stands for Nix's default.
	HTTPConnections uint
	HTTP2           bool
	// What a substituter says counts for so long: that it has a path, that it has it not, and what it is.
	NarinfoPositiveTTL, NarinfoNegativeTTL, NarinfoMetaTTL time.Duration
	// Builders is Nix's own text, lines separated by newlines or ";", or "@" and the name of a file.
	Builders string
	// BuildersUseSubstitutes lets them fetch what they need.
	BuildersUseSubstitutes bool
	// BuildHook is a program with its arguments. By default it is Nix's own, in
	// whose place we do its work.
	BuildHook []string

	AllowedUsers, TrustedUsers []string
	TrustedSubstituters        []string
	// DrainTimeout is how long builds may go on when the daemon is told to end.
	DrainTimeout time.Duration
	// HashedMirrors are servers that have files by their hashes.
	HashedMirrors []string
	// RequireSigs asks for a signature by one of TrustedPublicKeys on what comes from elsewhere.
	RequireSigs       bool
	TrustedPublicKeys []string
	// SecretKeyFiles have a key each, which signs what is built.
	SecretKeyFiles []string

	// PostBuildHook is told of what was built, DiffHook of what differs where RunDiffHook wants it.
	PostBuildHook, DiffHook string
	RunDiffHook             bool

	AutoOptimiseStore bool
	FsyncMetadata     bool

	JournalSize uint64 // bytes that the flight recorder's files may have; 0 is none

	// defaults is what these settings started from; unmet names the settings that are away from it
	// and are not honoured.
	defaults *Settings
	unmet    map[string]bool
}

// Defaults returns the settings of a Nix 2.34.8 that was given none, on the given host. confDir is the
// directory of nix.conf, where netrc and machines are looked for.
func Defaults(host Host, confDir string) Settings {
	s := Settings{
		MaxJobs: 1, MaxSubstitutionJobs: 16,
		Sandbox: SandboxOn, SandboxFallback: true, SandboxBuildDir: "/build", SandboxDevShmSize: "50%",
		StartID: 872415232, IDCount: 8388608,
		System: host.System, ExtraPlatforms: host.ExtraPlatforms,
		SystemFeatures: []string{"benchmark", "big-parallel", "nixos-test", "uid-range"},
		FilterSyscalls: true, RequireDropSupplementaryGroups: host.Root,
		KeepBuildLog: true, CompressBuildLog: true, LogLines: 25,
		NetrcFile: confDir + "/netrc", SSLCertFile: host.CertFile,
		ConnectTimeout: 15 * time.Second, StalledDownloadTimeout: 300 * time.Second, DownloadAttempts: 5,
		KeepDerivations: true, MaxFree: math.MaxInt64, MinFreeCheckInterval: 5 * time.Second,
		Store: "auto", Substitute: true, Substituters: []string{"https://cache.nixos.org/"},
		HTTPConnections: 25, HTTP2: true,
		NarinfoPositiveTTL: 30 * 24 * time.Hour, NarinfoNegativeTTL: time.Hour, NarinfoMetaTTL: 7 * 24 * time.Hour,
		Builders:     "@" + confDir + "/machines",
		BuildHook:    []string{"nix", "__build-remote"},
		AllowedUsers: []string{"*"}, TrustedUsers: []string{"root"}, TrustedSubstituters: []string{},
		RequireSigs: true, SecretKeyFiles: []string{}, HashedMirrors: []string{},
		TrustedPublicKeys: []string{"cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="},
		FsyncMetadata:     true,
		JournalSize:       64 << 20,
		DrainTimeout:      8 * time.Second,
	}
	if host.Root {
		s.BuildUsersGroup = "nixbld"
	}
	if host.KVM {
		s.SystemFeatures = sortedSet(append(s.SystemFeatures, "kvm"))
	}
	if host.Remote != "" {
		s.Store = host.Remote
	}
	start := s
	s.defaults = &start
	return s
}
