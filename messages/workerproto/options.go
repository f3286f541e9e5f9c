package workerproto

// SetOptions is the first request of every client: its settings, for this
// connection.
type SetOptions struct {
	noStream
	KeepFailed, KeepGoing, TryFallback bool
	Verbosity                          Level
	MaxBuildJobs                       uint64
	MaxSilentTime                      uint64 // seconds
	// BuildVerbosity is the level at which builders are heard: [LevelError]
	// shows them, [LevelVomit] does not.
	BuildVerbosity Level
	BuildCores     uint64
	UseSubstitutes bool
	// Overrides are further settings by name, with values as in nix.conf.
	Overrides map[string]string
}

func (*SetOptions) Op() Op       { return OpSetOptions }
func (*SetOptions) reply() Reply { return new(Nothing) }

func (q *SetOptions) walk(f *form) {
	f.flag("keep failed", &q.KeepFailed)
	f.flag("keep going", &q.KeepGoing)
	f.flag("try fallback", &q.TryFallback)
	f.level("verbosity", &q.Verbosity)
	f.integer("max build jobs", &q.MaxBuildJobs)
	f.integer("max silent time", &q.MaxSilentTime)
	f.constant("use build hook", 1)
	f.level("build verbosity", &q.BuildVerbosity)
	f.constant("log type", 0)
	f.constant("print build trace", 0)
	f.integer("build cores", &q.BuildCores)
	f.flag("use substitutes", &q.UseSubstitutes)
	f.dictionary("overrides", &q.Overrides)
}
