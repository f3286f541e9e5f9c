package sandbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/sandbox"
	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

func path(name string) storepath.Path {
	p, err := storepath.ParseBase(strings.Repeat("0", 32) + "-" + name)
	if err != nil {
		panic(err)
	}
	return p
}

// request is a build of x.drv with two directories and a link as inputs; the
// arguments change it.
func request(t *testing.T, d *datadriven.TestData) sandbox.Request {
	drv := &derivation.Derivation{Name: "x", Platform: "x86_64-linux", Outputs: []derivation.Output{{Name: "out", Path: path("x")}}}
	r := sandbox.Request{
		Policy: sandbox.Policy{BuildDir: "/build", ShmSize: "50%", System: "x86_64-linux", ExtraPlatforms: []string{"i686-linux"},
			Features: []string{"big-parallel"}, FilterSyscalls: true, UserNamespaces: true, Certificates: "/host/certificates-link"},
		StoreDir: "/nix/store", Derivation: drv, Path: path("x.drv"), Builder: "/nix/store/" + path("dir").Base() + "/bin/sh",
		Args: []string{"sh", "-c", "true"}, Env: []string{"A=b"}, HostBuild: "/builds/1/build", HostTmp: "/builds/1/tmp",
		Inputs: []storepath.Path{path("dir"), path("file"), path("link")},
		Real:   func(p storepath.Path) string { return "/real/" + p.Name() },
		Text:   func(p string) string { return map[string]string{"/etc/resolv.conf": "nameserver 192.0.2.1\n"}[p] },
		Follow: func(p string) string { return strings.TrimSuffix(p, "-link") },
		Look: func(p string) sandbox.Found {
			switch {
			case strings.HasSuffix(p, "link"):
				return sandbox.Found{Kind: sandbox.Symlink, Target: "file"}
			case strings.HasSuffix(p, "file"):
				return sandbox.Found{Kind: sandbox.Other}
			case strings.HasSuffix(p, "missing"):
				return sandbox.Found{}
			}
			return sandbox.Found{Kind: sandbox.Directory}
		},
		OutsideUID: 30001, OutsideGID: 30000,
	}
	for _, a := range d.CmdArgs {
		change(t, &r, a.Key, a.Vals)
	}
	return r
}

func change(t *testing.T, r *sandbox.Request, what string, vals []string) {
	switch what {
	case "off":
		r.Policy.Mode = sandbox.Off
	case "relaxed":
		r.Policy.Mode = sandbox.Relaxed
	case "no-chroot":
		r.Options.NoChroot = true
	case "diverted":
		r.Policy.Diverted = true
	case "no-user-namespaces":
		r.Policy.UserNamespaces = false
	case "store":
		r.StoreDir = storepath.Dir(vals[0])
	case "shared":
		r.Shared = true
	case "fixed":
		r.Derivation.Outputs[0].Kind = derivation.Fixed
		r.Derivation.Outputs[0].Hash = nixhash.Sum(nixhash.SHA256, nil)
	case "builtin":
		r.Builder = "builtin:fetchurl"
		r.Policy.Own = []sandbox.HostPath{{Inside: "/lib/ld.so.file", Outside: "/usr/lib/ld.so.file"}}
	case "system":
		r.Derivation.Platform = vals[0]
	case "feature":
		r.Options.RequiredSystemFeatures = vals
	case "path":
		inside, outside, _ := strings.Cut(vals[0], ":")
		r.Policy.Paths = append(r.Policy.Paths, sandbox.HostPath{Inside: inside, Outside: outside, Optional: len(vals) > 1})
	case "host-dep":
		r.Options.ImpureHostDeps = vals
	default:
		t.Fatalf("unknown argument %s", what)
	}
}

func TestMake(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			s, err := sandbox.Make(request(t, d))
			if err != nil {
				return fmt.Sprintf("error: %v\n", err)
			}
			return s.String()
		})
	})
}
