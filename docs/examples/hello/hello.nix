# The smallest graph: a Go program from a source, built by the machine's Go.
# The .drv file beside this one is what instantiating it gives on x86_64-linux.
derivation {
  name = "hello";
  system = "x86_64-linux";
  builder = "/go/bin/go";
  args = [ "build" "-trimpath" "-buildvcs=false" "-o" "${placeholder "out"}/bin/hello" (builtins.toFile "hello.go" ''
    //go:build ignore

    package main

    func main() { println("hello from the store") }
  '') ];
  CGO_ENABLED = "0";
  GOCACHE = "/build/cache";
  GOENV = "off";
  GOPATH = "/build/gopath";
  GOPROXY = "off";
  GOTELEMETRY = "off";
  GOTOOLCHAIN = "local";
}
