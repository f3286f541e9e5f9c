package remotestore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kballard/go-shellquote"
)

// started is the line by which ssh says that it is connected.
const started = "started"

// sshArguments are the words of a command that reaches a program over ssh. The
// machine "localhost" is this one, which needs no ssh, as with Nix. files is a
// directory for what ssh must read.
//
// What is in NIX_SSHOPTS comes before what is ours: of an option's values ssh
// takes the first.
func (c *Config) sshArguments(files string, s Settings, program ...string) ([]string, error) {
	if c.local() {
		return program, nil
	}
	host := c.Host
	if c.User != "" {
		host = c.User + "@" + host
	}
	own, err := shellquote.Split(os.Getenv("NIX_SSHOPTS"))
	if err != nil {
		return nil, fmt.Errorf("split NIX_SSHOPTS: %w", err)
	}
	args := append([]string{"ssh", host, "-x"}, own...)
	if c.SSHKey != "" {
		args = append(args, "-i", c.SSHKey)
	}
	if c.HostKey != "" {
		known := filepath.Join(files, "known-hosts")
		if err := os.WriteFile(known, []byte(c.knownHost()), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "-oUserKnownHostsFile="+known)
	}
	if c.Compress {
		args = append(args, "-C")
	}
	if c.Port != "" {
		args = append(args, "-p"+c.Port)
	}
	// A machine that is gone is noticed within a minute and a quarter.
	args = append(args, "-oPermitLocalCommand=yes", "-oLocalCommand=echo "+started, "-oServerAliveInterval=15", "-oServerAliveCountMax=4")
	if !s.Interactive {
		args = append(args, "-oBatchMode=yes")
	}
	return append(append(args, "--"), program...), nil
}

// local says whether the machine is this one.
func (c *Config) local() bool { return c.Host == "localhost" && c.User == "" && c.Port == "" }

// knownHost is a line for a file of known hosts.
func (c *Config) knownHost() string {
	names := c.Host
	if c.Port != "" {
		names += fmt.Sprintf(",[%s]:%s", c.Host, c.Port)
	}
	return names + " " + c.HostKey + "\n"
}

// daemonCommand is the worker protocol's server at the other end.
func (c *Config) daemonCommand() []string {
	return c.withStore(append(c.RemoteProgram[:len(c.RemoteProgram):len(c.RemoteProgram)], "--stdio"))
}

// withStore names the store to open. ssh gives the words to a shell, which must
// not understand any of a URL.
func (c *Config) withStore(command []string) []string {
	if c.RemoteStore == "" {
		return command
	}
	store := c.RemoteStore
	if !c.local() {
		store = shellquote.Join(store)
	}
	return append(command, "--store", store)
}

// sshEnvironment has a shell that any LocalCommand runs in.
func sshEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SHELL=") {
			env = append(env, v)
		}
	}
	return append(env, "SHELL=/bin/sh")
}
