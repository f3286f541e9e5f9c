package remotestore

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"troupe/storage/storeurl"
)

// Config is a store's URL taken apart, with Nix's settings of such a store:
//
//	daemon                            that of this machine
//	unix:///socket
//	ssh-ng://[user@]host[:port]       nix-daemon --stdio there
//	ssh://[user@]host[:port]          nix-store --serve there
type Config struct {
	Scheme           string // "daemon", "unix", "ssh-ng" or "ssh"
	Socket           string // of "unix"
	User, Host, Port string // of "ssh-ng" and "ssh"; user and port may be ""

	storeurl.Common
	MaxConnections   int           // at a time
	MaxConnectionAge time.Duration // after which one is not used again; 0 is any

	SSHKey        string   // file of a key to log in with; "" for ssh's own
	HostKey       string   // line of a file of known hosts without the host, "ssh-ed25519 AAAA…"; "" for ssh's own
	Compress      bool     // what goes over the wire
	RemoteProgram []string // words of the command there; without the arguments of a server
	RemoteStore   string   // the store that it is to open; "" for its own choice

	Warnings []string // on settings that are not known, or without effect
}

// Known says whether a store's URL is that of a store of this package.
func Known(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && slices.Contains([]string{"unix", "ssh-ng", "ssh"}, scheme) || text == "daemon" || strings.HasPrefix(text, "daemon?")
}

// String is the store's name: its URL without settings, as Nix says it.
func (c Config) String() string {
	switch c.Scheme {
	case "daemon":
		return "daemon"
	case "unix":
		return "unix://" + c.Socket
	}
	u := url.URL{Scheme: c.Scheme, Host: c.Host}
	if strings.Contains(c.Host, ":") {
		u.Host = "[" + c.Host + "]"
	}
	if c.Port != "" {
		u.Host += ":" + c.Port
	}
	if c.User != "" {
		u.User = url.User(c.User)
	}
	return u.String()
}

// ParseURL reads the URL of a store with settings as its query.
func ParseURL(text string) (Config, error) {
	c := Config{MaxConnections: 1}
	u, settings, err := storeurl.Parse(text)
	if err != nil {
		return c, err
	}
	if err := c.place(u); err != nil {
		return c, fmt.Errorf("read store URL '%s': %w", u.Redacted(), err)
	}
	for key, values := range settings {
		if err := c.set(key, values[len(values)-1]); err != nil {
			return c, fmt.Errorf("read store URL '%s': setting '%s': %w", c, key, err)
		}
	}
	slices.Sort(c.Warnings)
	return c, nil
}

func (c *Config) place(u *url.URL) error {
	c.Scheme = u.Scheme
	switch {
	case u.Scheme == "" && u.Host == "" && u.Path == "daemon":
		c.Scheme = "daemon"
	case u.Scheme == "unix":
		if c.Socket = u.Path; u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return fmt.Errorf("it names no socket of this machine")
		}
	case c.overSSH():
		return c.placeThere(u)
	default:
		return fmt.Errorf("it is none of daemon, unix:///socket, ssh-ng://host and ssh://host")
	}
	return nil
}

func (c *Config) placeThere(u *url.URL) error {
	c.Host, c.Port, c.User = u.Hostname(), u.Port(), u.User.Username()
	c.RemoteProgram = []string{"nix-daemon"}
	if c.Scheme == "ssh" {
		c.RemoteProgram = []string{"nix-store"}
	}
	_, password := u.User.Password()
	switch {
	case password:
		return fmt.Errorf("ssh takes no password from it")
	case u.Path != "" && u.Path != "/":
		return fmt.Errorf("it has a path: the store there is named by remote-store")
	case c.Host == "":
		return fmt.Errorf("host name must not be empty")
	case strings.HasPrefix(c.Host, "-"):
		return fmt.Errorf("host name '%s' must not start with '-'", c.Host)
	case strings.Contains(c.Host, ":") && !isAddress(c.Host):
		return fmt.Errorf("'%s' is not a host name", c.Host)
	case u.User != nil && c.User == "":
		return fmt.Errorf("user name must not be empty")
	case strings.HasPrefix(c.User, "-"):
		return fmt.Errorf("user name '%s' must not start with '-'", c.User)
	}
	return nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func (c *Config) overSSH() bool { return c.Scheme == "ssh-ng" || c.Scheme == "ssh" }

func (c *Config) set(key, value string) (err error) {
	if known, err := c.Common.Set(key, value); known {
		return err
	}
	switch key {
	case "max-connections":
		c.MaxConnections, err = storeurl.Number(value)
		c.MaxConnections = max(c.MaxConnections, 1)
		return err
	case "max-connection-age":
		seconds, err := storeurl.Number(value)
		c.MaxConnectionAge = time.Duration(seconds) * time.Second
		return err
	case "path-info-cache-size", "system-features", "root", "state", "log", "real", "log-fd":
		c.Warnings = append(c.Warnings, fmt.Sprintf("setting '%s' of '%s' has no effect", key, c))
		return nil
	}
	if c.overSSH() {
		if known, err := c.setSSH(key, value); known {
			return err
		}
	}
	c.Warnings = append(c.Warnings, fmt.Sprintf("unknown setting '%s' of '%s'", key, c))
	return nil
}

func (c *Config) setSSH(key, value string) (known bool, err error) {
	switch key {
	case "ssh-key":
		c.SSHKey = value
	case "base64-ssh-public-host-key":
		line, err := base64.StdEncoding.DecodeString(value)
		c.HostKey = strings.TrimSpace(string(line))
		if err == nil && strings.ContainsAny(c.HostKey, "\n\r") {
			err = fmt.Errorf("it is not one line")
		}
		return true, err
	case "compress":
		c.Compress, err = storeurl.Boolean(value)
	case "remote-program":
		if c.RemoteProgram = strings.Fields(value); len(c.RemoteProgram) == 0 {
			err = fmt.Errorf("it names no program")
		}
	case "remote-store":
		c.RemoteStore = value
	default:
		return false, nil
	}
	return true, err
}
