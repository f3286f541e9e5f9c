# Go's own tools, each built in the sandbox by the Go toolchain of the machine,
# which comes in as /go:
#
#   troupe build --option sandbox-paths "/go=$(go env GOROOT)" ...
#
# The .drv files beside this one are what instantiating it gives, for both systems.
let
  tools = [
    "addr2line" "asm" "buildid" "cgo" "covdata" "cover" "fix" "gofmt" "link" "nm" "objdump" "pack" "preprofile" "test2json" "vet"
  ];

  go = system: options: derivation ({
    inherit system;
    CGO_ENABLED = "0";
    GODEBUG = "goindex=0"; # an index that is not in the cache would have to be written there
    GOENV = "off";
    GOFLAGS = "";
    GOPATH = "/build/gopath";
    GOPROXY = "off";
    GOTELEMETRY = "off";
    GOTOOLCHAIN = "local";
  } // options);

  graph = system: rec {
    fill = go system {
      name = "fill";
      builder = "/go/bin/go";
      args = [ "build" "-trimpath" "-buildvcs=false" "-ldflags=-s -w" "-o" (placeholder "out") ./fill.go ];
      GOCACHE = "/build/cache";
    };

    # What most of the tools are made of, compiled once.
    cache = go system {
      name = "go-cache";
      builder = fill;
      args = [
        "go/format" "debug/elf" "debug/macho" "debug/pe" "cmd/internal/obj/..." "cmd/internal/objfile"
        "cmd/vendor/golang.org/x/tools/go/analysis/unitchecker" "cmd/vendor/golang.org/x/tools/go/analysis/passes/..."
      ];
    };

    tool = name: go system {
      inherit name;
      builder = "/go/bin/go";
      args = [ "build" "-trimpath" "-buildvcs=false" "-ldflags=-s -w" "-o" "${placeholder "out"}/bin/${name}" "cmd/${name}" ];
      GOCACHE = cache;
    };

    all = derivation {
      name = "go-tools-${builtins.head (builtins.split "-" system)}";
      inherit system;
      builder = "builtin:buildenv";
      manifest = "/none";
      derivations = builtins.concatMap (name: [ "true" 5 1 (tool name) ]) tools;
    };
  };
in
{
  x86_64-linux = (graph "x86_64-linux").all;
  aarch64-linux = (graph "aarch64-linux").all;
}
