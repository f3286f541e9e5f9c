package workerproto

// ActivityType says what an activity is, and so what its fields are.
type ActivityType uint64

const (
	ActUnknown       ActivityType = 0
	ActCopyPath      ActivityType = 100 // path, from, to
	ActFileTransfer  ActivityType = 101 // url
	ActRealise       ActivityType = 102
	ActCopyPaths     ActivityType = 103
	ActBuilds        ActivityType = 104
	ActBuild         ActivityType = 105 // derivation, machine or "", 1, 1
	ActOptimiseStore ActivityType = 106
	ActVerifyPaths   ActivityType = 107
	ActSubstitute    ActivityType = 108 // path, source
	ActQueryPathInfo ActivityType = 109 // path, source
	ActPostBuildHook ActivityType = 110 // derivation
	ActBuildWaiting  ActivityType = 111 // derivation, the one it resolved to
	ActFetchTree     ActivityType = 112
)

// ResultType says what is told of an activity.
type ResultType uint64

const (
	ResFileLinked       ResultType = 100 // bytes, blocks
	ResBuildLogLine     ResultType = 101 // line
	ResUntrustedPath    ResultType = 102 // path
	ResCorruptedPath    ResultType = 103 // path
	ResSetPhase         ResultType = 104 // phase
	ResProgress         ResultType = 105 // done, expected, running, failed
	ResSetExpected      ResultType = 106 // activity type, number
	ResPostBuildLogLine ResultType = 107 // line
	ResFetchStatus      ResultType = 108 // status
)
