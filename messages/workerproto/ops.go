package workerproto

import "fmt"

// Op is an operation's number.
type Op uint64

const (
	OpIsValidPath                 Op = 1
	OpQueryReferrers              Op = 6
	OpAddToStore                  Op = 7
	OpAddTextToStore              Op = 8 // below 1.25
	OpBuildPaths                  Op = 9
	OpEnsurePath                  Op = 10
	OpAddTempRoot                 Op = 11
	OpAddIndirectRoot             Op = 12
	OpSyncWithGC                  Op = 13
	OpFindRoots                   Op = 14
	OpQueryDeriver                Op = 18 // obsolete
	OpSetOptions                  Op = 19
	OpCollectGarbage              Op = 20
	OpQuerySubstitutablePathInfo  Op = 21
	OpQueryDerivationOutputs      Op = 22 // obsolete
	OpQueryAllValidPaths          Op = 23
	OpQueryPathInfo               Op = 26
	OpQueryDerivationOutputNames  Op = 28 // obsolete
	OpQueryPathFromHashPart       Op = 29
	OpQuerySubstitutablePathInfos Op = 30
	OpQueryValidPaths             Op = 31
	OpQuerySubstitutablePaths     Op = 32
	OpQueryValidDerivers          Op = 33
	OpOptimiseStore               Op = 34
	OpVerifyStore                 Op = 35
	OpBuildDerivation             Op = 36
	OpAddSignatures               Op = 37
	OpNarFromPath                 Op = 38
	OpAddToStoreNar               Op = 39
	OpQueryMissing                Op = 40
	OpQueryDerivationOutputMap    Op = 41 // from 1.22
	OpRegisterDrvOutput           Op = 42 // from 1.27
	OpQueryRealisation            Op = 43 // from 1.27
	OpAddMultipleToStore          Op = 44 // from 1.32
	OpAddBuildLog                 Op = 45 // from 1.32
	OpBuildPathsWithResults       Op = 46 // from 1.34
	OpAddPermRoot                 Op = 47 // from 1.36
)

// operations has every operation that is spoken. Of the numbers that are
// missing, Nix has removed some and used others nowhere but inside builders.
var operations = map[Op]struct {
	name string
	make func() Request
}{
	OpIsValidPath:                 {"IsValidPath", func() Request { return new(IsValidPath) }},
	OpQueryReferrers:              {"QueryReferrers", func() Request { return new(QueryReferrers) }},
	OpAddToStore:                  {"AddToStore", func() Request { return new(AddToStore) }},
	OpAddTextToStore:              {"AddTextToStore", func() Request { return new(AddTextToStore) }},
	OpBuildPaths:                  {"BuildPaths", func() Request { return new(BuildPaths) }},
	OpEnsurePath:                  {"EnsurePath", func() Request { return new(EnsurePath) }},
	OpAddTempRoot:                 {"AddTempRoot", func() Request { return new(AddTempRoot) }},
	OpAddIndirectRoot:             {"AddIndirectRoot", func() Request { return new(AddIndirectRoot) }},
	OpSyncWithGC:                  {"SyncWithGC", func() Request { return new(SyncWithGC) }},
	OpFindRoots:                   {"FindRoots", func() Request { return new(FindRoots) }},
	OpQueryDeriver:                {"QueryDeriver", func() Request { return new(QueryDeriver) }},
	OpSetOptions:                  {"SetOptions", func() Request { return new(SetOptions) }},
	OpCollectGarbage:              {"CollectGarbage", func() Request { return new(CollectGarbage) }},
	OpQuerySubstitutablePathInfo:  {"QuerySubstitutablePathInfo", func() Request { return new(QuerySubstitutablePathInfo) }},
	OpQueryDerivationOutputs:      {"QueryDerivationOutputs", func() Request { return new(QueryDerivationOutputs) }},
	OpQueryAllValidPaths:          {"QueryAllValidPaths", func() Request { return new(QueryAllValidPaths) }},
	OpQueryPathInfo:               {"QueryPathInfo", func() Request { return new(QueryPathInfo) }},
	OpQueryDerivationOutputNames:  {"QueryDerivationOutputNames", func() Request { return new(QueryDerivationOutputNames) }},
	OpQueryPathFromHashPart:       {"QueryPathFromHashPart", func() Request { return new(QueryPathFromHashPart) }},
	OpQuerySubstitutablePathInfos: {"QuerySubstitutablePathInfos", func() Request { return new(QuerySubstitutablePathInfos) }},
	OpQueryValidPaths:             {"QueryValidPaths", func() Request { return new(QueryValidPaths) }},
	OpQuerySubstitutablePaths:     {"QuerySubstitutablePaths", func() Request { return new(QuerySubstitutablePaths) }},
	OpQueryValidDerivers:          {"QueryValidDerivers", func() Request { return new(QueryValidDerivers) }},
	OpOptimiseStore:               {"OptimiseStore", func() Request { return new(OptimiseStore) }},
	OpVerifyStore:                 {"VerifyStore", func() Request { return new(VerifyStore) }},
	OpBuildDerivation:             {"BuildDerivation", func() Request { return new(BuildDerivation) }},
	OpAddSignatures:               {"AddSignatures", func() Request { return new(AddSignatures) }},
	OpNarFromPath:                 {"NarFromPath", func() Request { return new(NarFromPath) }},
	OpAddToStoreNar:               {"AddToStoreNar", func() Request { return new(AddToStoreNar) }},
	OpQueryMissing:                {"QueryMissing", func() Request { return new(QueryMissing) }},
	OpQueryDerivationOutputMap:    {"QueryDerivationOutputMap", func() Request { return new(QueryDerivationOutputMap) }},
	OpRegisterDrvOutput:           {"RegisterDrvOutput", func() Request { return new(RegisterDrvOutput) }},
	OpQueryRealisation:            {"QueryRealisation", func() Request { return new(QueryRealisation) }},
	OpAddMultipleToStore:          {"AddMultipleToStore", func() Request { return new(AddMultipleToStore) }},
	OpAddBuildLog:                 {"AddBuildLog", func() Request { return new(AddBuildLog) }},
	OpBuildPathsWithResults:       {"BuildPathsWithResults", func() Request { return new(BuildPathsWithResults) }},
	OpAddPermRoot:                 {"AddPermRoot", func() Request { return new(AddPermRoot) }},
}

func (o Op) String() string {
	if known, ok := operations[o]; ok {
		return known.name
	}
	return fmt.Sprintf("operation %d", uint64(o))
}
