package remote

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"troupe/actors/ports"
	"troupe/actors/ports/remotestore"
	"troupe/messages/workerproto"
	"troupe/storage/buildmachines"
	"troupe/storage/storepath"
)

// machines are those that are in use: their connections outlive builds, so that a
// build of a second does not wait for ssh.
type machines struct {
	mu    sync.Mutex // guards what follows
	known map[string]*machine
}

// machine is another machine as we speak with it on the same terms.
type machine struct {
	*remotestore.Store
	name string // as the settings have it
	key  string

	uses int         // builds; guarded by machines.mu, as is away
	away *time.Timer // ends the connections when nobody has used them for a while

	silence time.Duration // after which it is lost, while it is asked, sent to or fetched from; 0 is none

	mu     sync.Mutex                       // guards coming
	coming map[storepath.Path]chan struct{} // what is being sent; closed when it was
}

// How long connections may live at all, which bounds what they keep from the other
// machine's collector, and how long when nobody uses them.
const (
	connectionAge = 10 * time.Minute
	connectionRes = 30 * time.Second
)

// find finds a machine of the settings, and what fits there.
func find(w ports.Work, features []string) (buildmachines.Machine, error) {
	all, _, err := w.Policy.Remote.Machines.Machines()
	if err != nil {
		return buildmachines.Machine{}, err
	}
	i := slices.IndexFunc(all, func(m buildmachines.Machine) bool {
		return m.URL == w.Place.Machine && m.Fits(w.Derivation.Platform, features)
	})
	if i < 0 {
		return buildmachines.Machine{}, fmt.Errorf("machine '%s' is not among the builders any more", w.Place.Machine)
	}
	return all[i], nil
}

// use gets hold of a machine until done is called.
func (s *machines) use(r *Remote, m buildmachines.Machine, w ports.Work) (_ *machine, done func(), err error) {
	options := optionsFor(w)
	options.Overrides[ports.IdentitySetting] = r.s.Identity
	if isDirectory(m.URL) {
		options.Overrides["builders"] = "" // its settings are ours
	}
	at := storeURL(m)
	silence := w.Policy.Builtin.StallTimeout
	key := fmt.Sprintln(at, *options, w.Policy.Remote.ConnectTimeout, silence)
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.known[key]
	if is == nil {
		store, err := remotestore.Open(at, remotestore.Settings{Dir: r.s.Layout.Dir, ConnectTimeout: w.Policy.Remote.ConnectTimeout, Options: options,
			Say: func(line string) { r.s.Log.Info().Str("machine", m.URL).Msg(line) }})
		if err != nil {
			return nil, nil, err
		}
		is = &machine{Store: store, name: m.URL, key: key, silence: silence, coming: map[storepath.Path]chan struct{}{}}
		if s.known == nil {
			s.known = map[string]*machine{}
		}
		s.known[key] = is
	}
	if is.away != nil {
		is.away.Stop()
	}
	is.uses++
	return is, func() { s.leave(is, r) }, nil
}

// leave lets a machine go, whose connections are ended after a while.
func (s *machines) leave(is *machine, r *Remote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is.uses--; is.uses > 0 {
		return
	}
	is.away = time.AfterFunc(connectionRes, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if is.uses == 0 && s.known[is.key] == is {
			delete(s.known, is.key)
			r.warn(is.Close(), "end connections")
		}
	})
}

// close ends all connections that nobody uses.
func (s *machines) close(r *Remote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, is := range s.known {
		if is.away != nil {
			is.away.Stop()
		}
		delete(s.known, key)
		r.warn(is.Close(), "end connections")
	}
}

// isDirectory reports whether a machine is a store in a directory of this one, which
// Nix's hook opens itself.
func isDirectory(url string) bool {
	return strings.HasPrefix(url, "/") || strings.HasPrefix(url, "local?")
}

// directoryURL is the store of a program of ours that opens a directory.
func directoryURL(m buildmachines.Machine) string {
	features := slices.Concat(m.Supported, m.Mandatory)
	join := "?"
	if strings.Contains(m.URL, "?") {
		join = "&"
	}
	store := m.URL + join + "system-features=" + url.QueryEscape(strings.Join(features, " "))
	return "ssh-ng://localhost?remote-program=" + url.QueryEscape("/proc/self/exe daemon") + "&remote-store=" + url.QueryEscape(store)
}

// storeURL is a machine's store with the settings that we speak with it by. Names
// without more are of the older protocol in Nix; a machine that speaks it has a
// daemon as well.
func storeURL(m buildmachines.Machine) string {
	if isDirectory(m.URL) {
		m.URL = directoryURL(m)
	}
	at, query, _ := strings.Cut(m.URL, "?")
	at = strings.Replace(at, "ssh://", "ssh-ng://", 1)
	settings := strings.FieldsFunc(query, func(r rune) bool { return r == '&' })
	settings = slices.DeleteFunc(settings, func(s string) bool { return s == "remote-program=nix-store" })
	add := func(name, value string) {
		has := func(s string) bool { return strings.HasPrefix(s, name+"=") }
		if value != "" && !slices.ContainsFunc(settings, has) {
			settings = append(settings, name+"="+url.QueryEscape(value))
		}
	}
	if strings.HasPrefix(at, "ssh-ng://") {
		add("ssh-key", m.SSHKey)
		add("base64-ssh-public-host-key", m.HostKey)
	}
	settings = slices.DeleteFunc(settings, func(s string) bool { return strings.HasPrefix(s, "max-connections=") })
	add("max-connections", strconv.Itoa(m.Jobs+1)) // slots see to what there may be
	add("max-connection-age", strconv.Itoa(int(connectionAge.Seconds())))
	return at + "?" + strings.Join(settings, "&")
}

// optionsFor are what we set there for a build.
func optionsFor(w ports.Work) *workerproto.SetOptions {
	o := &workerproto.SetOptions{KeepFailed: w.Policy.Remote.KeepFailed, Verbosity: workerproto.LevelError, MaxBuildJobs: 1,
		MaxSilentTime: uint64(w.Limits.Silence.Seconds()), BuildVerbosity: workerproto.LevelVomit, BuildCores: uint64(w.Policy.Remote.Cores),
		UseSubstitutes: w.Policy.Remote.Substitute, Overrides: map[string]string{}}
	if n := w.Limits.Total; n > 0 {
		o.Overrides["timeout"] = strconv.Itoa(int(n.Seconds()))
	}
	if n := w.Limits.LogBytes; n > 0 {
		o.Overrides["max-build-log-size"] = strconv.FormatInt(n, 10)
	}
	return o
}

// connect finds a connection that works, and says what of the inputs is there. One
// that was used before may have ended meanwhile.
func (m *machine) connect(ctx context.Context, inputs []storepath.Path, substitute bool) (*remotestore.Conn, []storepath.Path, error) {
	for again := false; ; again = true {
		c, err := m.Acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		var valid []storepath.Path
		err = c.Watched(ctx, m.silence, func(ctx context.Context) (err error) {
			valid, err = c.Valid(ctx, inputs, substitute)
			return err
		})
		if err == nil {
			return c, valid, nil
		}
		m.Release(c)
		if again || !remotestore.IsLost(err) || ctx.Err() != nil {
			return nil, nil, err
		}
	}
}
