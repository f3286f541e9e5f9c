package config

import (
	"os"
	"runtime"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// Host is what defaults depend on and no setting says.
type Host struct {
	// System is Nix's name of this machine: x86_64-linux, aarch64-linux.
	System         string
	ExtraPlatforms []string
	Root, KVM      bool
	// CertFile is the bundle of authorities to trust, or empty.
	CertFile string
	// Remote is the value of NIX_REMOTE, or empty.
	Remote string
}

// systemNames are Nix's names for Go's architectures; others are named by Go's own word.
var systemNames = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "loong64": "loongarch64"}

// DetectHost looks at the running machine. lookup is os.LookupEnv or a test's stand-in for it.
func DetectHost(lookup func(string) (string, bool)) Host {
	arch, ok := systemNames[runtime.GOARCH]
	if !ok {
		arch = runtime.GOARCH
	}
	remote, _ := lookup("NIX_REMOTE")
	return Host{
		System:         arch + "-linux",
		ExtraPlatforms: extraPlatforms(),
		Root:           os.Geteuid() == 0,
		KVM:            unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) == nil,
		CertFile:       certFile(lookup),
		Remote:         remote,
	}
}

// certFile follows Nix: two variables, then the places where distributions and NixOS keep the bundle.
func certFile(lookup func(string) (string, bool)) string {
	for _, name := range []string{"NIX_SSL_CERT_FILE", "SSL_CERT_FILE"} {
		if file, ok := lookup(name); ok && file != "" {
			return file
		}
	}
	for _, file := range []string{"/etc/ssl/certs/ca-certificates.crt", "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt"} {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// extraPlatforms names the 32-bit system and the levels of the x86-64 psABI that this CPU reaches; each
// level includes the one before.
func extraPlatforms() []string {
	if runtime.GOARCH != "amd64" {
		return nil
	}
	x := cpu.X86
	platforms := []string{"i686-linux", "x86_64-v1-linux"}
	if !(x.HasCX16 && x.HasPOPCNT && x.HasSSE3 && x.HasSSSE3 && x.HasSSE41 && x.HasSSE42) {
		return platforms
	}
	platforms = append(platforms, "x86_64-v2-linux")
	if !(x.HasAVX && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA && x.HasOSXSAVE) {
		return platforms
	}
	platforms = append(platforms, "x86_64-v3-linux")
	if !(x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL) {
		return platforms
	}
	return append(platforms, "x86_64-v4-linux")
}
