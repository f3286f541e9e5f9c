package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is one way in which the world goes wrong.
type Fault uint8

const (
	BuildFails Fault = iota
	BuilderHangs
	ClosesOutput
	LogFlood
	OutOfMemory
	NotExecutable
	SandboxRefused
	OutputRejected
	NotPrepared
	LeavesProcesses
	LockTaken
	LockFails
	UserTaken
	UserFails
	UserUnclean
	Unreadable
	QueryFails
	CommitFails
	SourceMissing
	Cycle
	DrvMissing
	DrvGone
	LookUpFails
	CacheLies
	CacheIsSlow
	NARIsGone
	NARIsBad
	ActorPanics
	ServiceDies
	ClientCancels
	ClientHangsUp
	ServiceEnds
	Flood
	DoesNotRead
	BadTiming
	Collection
	ContentsChange
	MachineRefuses
	MachineIsLost
	HookIsSlow
	HookDies
	HookLies
	BuilderAsks
	faultCount
)

// faultTable has the faults' names, their usual rates out of a thousand
// opportunities, and what they are.
var faultTable = [faultCount]struct {
	name string
	rate int
	what string
}{
	BuildFails:      {"build-fails", 60, "a builder exits with 1"},
	BuilderHangs:    {"builder-hangs", 20, "a builder falls silent for ever"},
	ClosesOutput:    {"closes-output", 50, "a builder closes its output and runs on"},
	LogFlood:        {"log-flood", 20, "a builder writes more than it may"},
	OutOfMemory:     {"out-of-memory", 15, "the kernel kills a builder"},
	NotExecutable:   {"not-executable", 10, "a builder cannot be executed"},
	SandboxRefused:  {"sandbox-refused", 10, "the kernel does not give a sandbox"},
	OutputRejected:  {"output-rejected", 20, "an output is not what it has to be"},
	NotPrepared:     {"not-prepared", 10, "a build's directories cannot be made"},
	LeavesProcesses: {"leaves-processes", 100, "a builder without a sandbox leaves processes behind"},
	LockTaken:       {"lock-taken", 150, "another process holds an output's lock for a while"},
	LockFails:       {"lock-fails", 10, "a lock file cannot be made"},
	UserTaken:       {"user-taken", 40, "another process uses a build user"},
	UserFails:       {"user-fails", 15, "a build user cannot be locked"},
	UserUnclean:     {"user-unclean", 5, "what runs under a build user cannot be killed"},
	Unreadable:      {"unreadable", 5, "a derivation cannot be read"},
	QueryFails:      {"query-fails", 3, "the database cannot be read"},
	CommitFails:     {"commit-fails", 50, "the disk is full when a batch is written"},
	SourceMissing:   {"source-missing", 10, "a source is not in the store"},
	Cycle:           {"cycle", 30, "a derivation of the graph depends on itself"},
	DrvMissing:      {"drv-missing", 30, "a derivation is not in the store"},
	DrvGone:         {"drv-gone", 30, "a derivation that was just fetched is gone again"},
	LookUpFails:     {"look-up-fails", 20, "a substituter does not answer"},
	CacheLies:       {"cache-lies", 30, "a substituter says that a path refers to another one"},
	CacheIsSlow:     {"cache-is-slow", 30, "a fetch takes very long"},
	NARIsGone:       {"nar-is-gone", 30, "a substituter has lost what it has promised"},
	NARIsBad:        {"nar-is-bad", 40, "a fetch ends in the middle, or brings what it should not"},
	ActorPanics:     {"actor-panics", 1, "a goal or a child panics"},
	ServiceDies:     {"service-dies", 150, "the service is killed at a random step, and started again"},
	ClientCancels:   {"client-cancels", 150, "a client withdraws a request"},
	ClientHangsUp:   {"client-hangs-up", 80, "a client goes away, and what it asked for is withdrawn"},
	ServiceEnds:     {"service-ends", 150, "the service is told to end, takes its time for it, and is started again"},
	Flood:           {"flood", 20, "dozens of guests come at once"},
	DoesNotRead:     {"does-not-read", 30, "a guest does not read its answer"},
	BadTiming:       {"bad-timing", 200, "in some worlds clients withdraw, or join, when a goal is in a state that does not last"},
	Collection:      {"collection", 100, "what nothing roots is deleted"},
	ContentsChange:  {"contents-change", 400, "what lies at a valid path is found to be another thing"},
	MachineRefuses:  {"machine-refuses", 300, "another machine cannot be reached"},
	MachineIsLost:   {"machine-is-lost", 250, "another machine goes away in the middle of a build"},
	HookIsSlow:      {"hook-is-slow", 50, "a build hook thinks for long"},
	HookDies:        {"hook-dies", 30, "a build hook dies instead of answering, or of building"},
	HookLies:        {"hook-lies", 20, "a build hook says what has no meaning"},
	BuilderAsks:     {"builder-asks", 900, "in some worlds a builder asks for builds"},
}

func (f Fault) String() string { return faultTable[f].name }

// Faults are rates out of a thousand.
type Faults [faultCount]int

// Usual has every fault at its usual rate.
func Usual() (all Faults) {
	for f := range faultTable {
		all[f] = faultTable[f].rate
	}
	return all
}

// ParseFaults reads a list of "all", "none", NAME, NAME=RATE and -NAME, in which
// later items change what earlier ones say. One that begins with "-" changes the
// usual rates.
func ParseFaults(text string) (Faults, error) {
	var rates Faults
	if text == "" || strings.HasPrefix(text, "-") {
		rates = Usual()
	}
	for item := range strings.SplitSeq(text, ",") {
		switch item {
		case "all":
			rates = Usual()
			continue
		case "none":
			rates = Faults{}
			continue
		case "":
			continue
		}
		name, rate, given := strings.Cut(strings.TrimPrefix(item, "-"), "=")
		i := slices.Index(FaultNames(), name)
		if i < 0 {
			return rates, fmt.Errorf("no fault '%s'; there are %s", name, strings.Join(FaultNames(), ", "))
		}
		rates[i] = faultTable[i].rate
		if strings.HasPrefix(item, "-") {
			rates[i] = 0
		}
		if given {
			n, err := strconv.Atoi(rate)
			if err != nil || n < 0 || n > 1000 {
				return rates, fmt.Errorf("fault '%s': a rate is between 0 and 1000", name)
			}
			rates[i] = n
		}
	}
	return rates, nil
}

// FaultNames lists the faults there are.
func FaultNames() []string {
	names := make([]string, faultCount)
	for f := range faultTable {
		names[f] = faultTable[f].name
	}
	return names
}

// FaultHelp says what each fault is, a line each.
func FaultHelp() string {
	var b strings.Builder
	for _, f := range faultTable {
		fmt.Fprintf(&b, "  %-17s %4d  %s\n", f.name, f.rate, f.what)
	}
	return b.String()
}

func (f Faults) String() string {
	switch f {
	case Usual():
		return "all"
	case Faults{}:
		return "none"
	}
	var list []string
	for i, rate := range f {
		if rate > 0 {
			list = append(list, fmt.Sprintf("%v=%d", Fault(i), rate))
		}
	}
	return strings.Join(list, ",")
}
