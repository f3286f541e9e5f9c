package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// Mode is the setting "sandbox".
type Mode uint8

const (
	On Mode = iota
	Off
	Relaxed // on, but for derivations that ask to be let out
)

// Policy is what the settings and the machine say.
type Policy struct {
	Mode           Mode
	Paths          []HostPath // to be seen in every sandbox
	BuildDir       string     // where a builder sees its build directory
	ShmSize        string     // of /dev/shm, as tmpfs takes it
	System         string
	ExtraPlatforms []string
	Features       []string // of this system
	FilterSyscalls bool
	AllowSetuid    bool // "allow-new-privileges"
	Linux26        bool // say that the kernel is a 2.6
	// UserNamespaces says that this machine has them.
	UserNamespaces bool
	// Diverted says that the store's files are not where its paths say, so that
	// a build is not possible without a mount namespace.
	Diverted bool
	KVM      bool // /dev/kvm can be used
	// Own are the files that this program itself needs, to be a builtin builder.
	Own []HostPath
	// Certificates is the host's file of authorities, which builds with network
	// are shown; "" for none.
	Certificates string
}

// HostPath is a path of the host and where a builder sees it.
type HostPath struct {
	Inside, Outside string
	Optional        bool
}

// Request is what one build needs.
type Request struct {
	Policy     Policy
	StoreDir   storepath.Dir
	Derivation *derivation.Derivation
	Path       storepath.Path // of the derivation
	Options    derivation.Options
	Builder    string
	Args, Env  []string

	HostBuild string // the build directory outside
	HostTmp   string // what is /tmp in a sandbox, outside
	// Inputs are the closure; Real says where a path's files are.
	Inputs []storepath.Path
	Real   func(storepath.Path) string

	// The host as it is now: what is at a path; where links lead, "" where nothing
	// is there; and the text of a file, "" where it cannot be read.
	Look   func(hostPath string) Found
	Follow func(hostPath string) string
	Text   func(hostPath string) string

	OutsideUID, OutsideGID int
	Groups                 []int
	Shared                 bool // the build user is the service's own
}

// Found is what is at a path of the host.
type Found struct {
	Kind   FoundKind
	Target string // of a link
}

// FoundKind is a sort of file.
type FoundKind uint8

const (
	Missing FoundKind = iota
	Directory
	Other // something that is not a directory and not a link
	Symlink
)

// The user that a builder sees itself as, in a user namespace.
const (
	insideUID = 1000
	insideGID = 100
)

// PlatformError says that this machine is not what the derivation needs.
type PlatformError struct{ Text string }

func (e *PlatformError) Error() string { return e.Text }

// Wanted says whether a derivation is built in a sandbox.
func Wanted(p Policy, o derivation.Options, drv string) (bool, error) {
	switch {
	case p.Mode == On && o.NoChroot:
		return false, fmt.Errorf("derivation '%s' has '__noChroot' set, but that's not allowed when 'sandbox' is 'true'", drv)
	case p.Diverted:
		return true, nil
	case p.Mode == Relaxed:
		return !o.NoChroot, nil
	}
	return p.Mode == On, nil
}

// Make says how to run a builder.
func Make(r Request) (Spec, error) {
	personality, err := checkPlatform(r)
	if err != nil {
		return Spec{}, err
	}
	boxed, err := Wanted(r.Policy, r.Options, r.StoreDir.Join(r.Path))
	if err != nil {
		return Spec{}, err
	}
	s := Spec{Builder: r.Builder, Args: r.Args, Env: r.Env, Dir: r.HostBuild,
		FilterSyscalls: r.Policy.FilterSyscalls, AllowSetuid: r.Policy.AllowSetuid, Personality: personality}
	s.Identity = Identity{UID: r.OutsideUID, GID: r.OutsideGID, OutsideUID: r.OutsideUID, OutsideGID: r.OutsideGID,
		Groups: r.Groups, Change: !r.Shared}
	if !boxed {
		return s, nil
	}
	if r.Shared && !r.Policy.UserNamespaces {
		return Spec{}, fmt.Errorf("a sandbox for '%s' needs user namespaces, which this machine does not give; 'sandbox = false' builds without one", r.StoreDir.Join(r.Path))
	}
	s.Spaces = Namespaces{PID: true, Mount: true, Net: !r.Derivation.HasNetwork(), IPC: true, UTS: true, User: r.Policy.UserNamespaces}
	s.OwnSockets = !s.Spaces.Net
	s.Host, s.Domain = "localhost", "(none)"
	if s.Spaces.User {
		s.Identity.UID, s.Identity.GID, s.Identity.Groups = insideUID, insideGID, nil
	}
	s.Dir, s.Boxed = r.Policy.BuildDir, true
	b := &boxBuilder{r: r, s: &s, made: map[string]bool{"/": true}}
	return s, b.build()
}

// adrNoRandomize, perLinux32 and uname26 are bits of Linux's personality(2).
const (
	adrNoRandomize = 0x0040000
	perLinux32     = 0x0008
	uname26        = 0x0020000
)

// Fits reports whether this machine is what a derivation needs.
func Fits(p Policy, platform string, features []string) bool {
	return p.knows(platform) && p.has(features)
}

func (p Policy) has(features []string) bool {
	return !slices.ContainsFunc(features, func(f string) bool { return !slices.Contains(p.Features, f) })
}

func (p Policy) knows(platform string) bool {
	return platform == p.System || platform == "builtin" || slices.Contains(p.ExtraPlatforms, platform)
}

// checkPlatform compares what is needed with what this is.
func checkPlatform(r Request) (personality int, err error) {
	p, d := r.Policy, r.Derivation
	if !Fits(p, d.Platform, r.Options.RequiredSystemFeatures) {
		return 0, &PlatformError{fmt.Sprintf("Cannot build '%s'.", r.StoreDir.Join(r.Path)) + p.lacks(d.Platform, r.Options.RequiredSystemFeatures)}
	}
	personality = adrNoRandomize
	if is32Bit(d.Platform) && !is32Bit(p.System) {
		personality |= perLinux32
	}
	if p.Linux26 {
		personality |= uname26
	}
	return personality, nil
}

// lacks says why a derivation is not for this machine, in the words of Nix 2.34.
func (p Policy) lacks(platform string, features []string) (text string) {
	if !p.knows(platform) {
		text = fmt.Sprintf("\nReason: platform mismatch\nRequired system: '%s'\nCurrent system: '%s'", platform, p.System)
	}
	if !p.has(features) {
		text += fmt.Sprintf("\nReason: missing system features\nRequired features: {%s}\nAvailable features: {%s}", set(features), set(p.Features))
	}
	return text
}

// set lists words once each, in order.
func set(words []string) string {
	words = slices.Clone(words)
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}

func is32Bit(system string) bool {
	return system == "i686-linux" || system == "armv7l-linux" || system == "armv6l-linux" || system == "armv5tel-linux"
}

// parents lists a path's directories, the highest first, without the root.
func parents(p string) (dirs []string) {
	for d := path.Dir(p); d != "/" && d != "."; d = path.Dir(d) {
		dirs = append([]string{d}, dirs...)
	}
	return dirs
}
