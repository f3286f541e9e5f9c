package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"

	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe/copying"
	"troupe/storage/addition"
	"troupe/storage/binarycache"
	"troupe/storage/signature"
	"troupe/storage/storepath"
	"troupe/storage/transfer"
)

// end is a store to copy from or to.
type end interface {
	copying.Source
	copying.Target
}

// ends opens the stores of a copy, and closes them.
type ends struct {
	s         *session
	checkSigs bool
	paths     []storepath.Path // that are copied
	roots     []string         // where stores of this machine lie that are open
	opened    []func() error   // what closes them, in this order
}

func (e *ends) close() (err error) {
	for _, f := range e.opened {
		err = errors.Join(err, f())
	}
	return err
}

// open opens the store of a URL; "" and "auto" are the one of the command.
func (e *ends) open(text string, how access) (end, error) {
	switch {
	case text == "" || text == "auto":
		return e.own(e.s, how)
	case binarycache.Known(text):
		return e.cache(text)
	case remotestore.Known(text):
		return e.remote(text)
	}
	root, _, err := localStore(text)
	if err != nil {
		return nil, err
	}
	s := *e.s
	if root != "" {
		s.location = location{Dir: s.location.Dir, Root: root, StateDir: root + "/nix/var/nix", LogDir: root + "/nix/var/log/nix"}
	}
	return e.own(&s, how)
}

// own is a store of this machine, held by this process or by who serves it.
func (e *ends) own(s *session, how access) (end, error) {
	if slices.Contains(e.roots, s.location.Root) {
		return nil, &codedError{code: exitUsage, text: "copy: both stores are the same"}
	}
	e.roots = append(e.roots, s.location.Root)
	st, client, err := join(s, how, true)
	if err != nil {
		return nil, err
	}
	if client != nil {
		if err := client.Close(); err != nil {
			return nil, err
		}
		return e.served(s)
	}
	e.opened = append(e.opened, st.close)
	trust, err := trustOf(s.settings)
	return copying.Own{Layout: st.layout, DB: st.db, Terms: addition.Terms{Trusted: true, CheckSigs: e.checkSigs}, Adder: func() *addition.Adder {
		a := st.adder()
		a.Trust = trust
		return a
	}}, err
}

// connections are how many questions a daemon of this machine is asked at a time.
const connections = 8

// served is a store of this machine that somebody serves, who keeps the paths for as
// long as the copy lasts.
func (e *ends) served(s *session) (end, error) {
	socket := url.URL{Scheme: "unix", Path: daemonSocket(s.location, os.LookupEnv), RawQuery: fmt.Sprintf("max-connections=%d", connections)}
	store, err := remotestore.Open(socket.String(), remotestore.Settings{Dir: s.location.Dir, Options: clientOptions(s)})
	if err != nil {
		return nil, err
	}
	conn, err := store.Acquire(e.s.ctx)
	if err != nil {
		return nil, err
	}
	e.opened = append(e.opened, func() error { store.Release(conn); return store.Close() })
	for _, p := range e.paths {
		if err := conn.Keep(e.s.ctx, p); err != nil {
			return nil, err
		}
	}
	return e.as(store), nil
}

func (e *ends) as(store remotestore.Any) end {
	return copying.Remote{Any: store, Terms: remotestore.Terms{DontCheckSigs: !e.checkSigs}}
}

func (e *ends) remote(text string) (end, error) {
	store, config, err := remotestore.OpenAny(text, remotestore.Settings{Dir: e.s.location.Dir, ConnectTimeout: e.s.settings.ConnectTimeout,
		Interactive: true, Say: func(line string) { fmt.Fprintln(e.s.stderr, line) }})
	if err != nil {
		return nil, err
	}
	e.opened = append(e.opened, store.Close)
	for _, w := range config.Warnings {
		e.s.warn(w)
	}
	return e.as(store), e.sameDir(store.String(), store.Dir())
}

func (e *ends) cache(text string) (end, error) {
	settings, err := e.cacheSettings()
	if err != nil {
		return nil, err
	}
	pool := binarycache.NewPool(settings)
	e.opened = append(e.opened, func() error { pool.Close(); return nil })
	cache, err := pool.Open(text)
	if err != nil {
		return nil, err
	}
	if cache.Config.StoreDir != "" {
		err = e.sameDir(cache.String(), cache.Config.StoreDir)
	}
	return copying.Cache{Cache: cache}, err
}

// sameDir refuses a store whose paths read otherwise: they would be others.
func (e *ends) sameDir(name string, dir storepath.Dir) error {
	if dir == e.s.location.Dir {
		return nil
	}
	return fmt.Errorf("open store '%s': it is for paths of '%s', not of '%s'", name, dir, e.s.location.Dir)
}

func (e *ends) cacheSettings() (binarycache.Settings, error) {
	c := e.s.settings
	b, err := builtinPolicy(c)
	if err != nil {
		return binarycache.Settings{}, err
	}
	keys, err := signature.ReadSecretKeys(c.SecretKeyFiles)
	settings := binarycache.Settings{
		StoreDir: e.s.location.Dir, UserAgent: userAgent(), Attempts: b.Attempts, StallTimeout: b.StallTimeout,
		Settings: transfer.Settings{Netrc: b.Netrc, CA: b.CA, Proxy: b.Proxy, ConnectTimeout: b.ConnectTimeout,
			Connections: int(c.HTTPConnections), HTTP1: !c.HTTP2},
		AWSKey: binarycache.AWSKeys(), Warn: e.s.warn,
		ReadKey: func(file string) (binarycache.Signer, error) {
			key, err := signature.ReadSecretKeys([]string{file})
			return signer{key}, err
		},
	}
	for i := range keys {
		settings.Signers = append(settings.Signers, signer{keys[i : i+1]})
	}
	return settings, err
}

// signer signs with one key.
type signer struct{ key signature.SecretKeys }

// Sign implements [binarycache.Signer]. Ed25519 needs nothing that could fail.
func (s signer) Sign(fingerprint string) string {
	made, err := s.key.SignText(fingerprint)
	if err != nil {
		panic(err)
	}
	return made[0]
}
