// Package binarycache reads and writes binary caches: directories of this machine and servers that speak HTTP. It asks
// again what may pass, leaves a dead cache alone, and gives out no byte of a NAR as whole that is not what the cache
// promised. It knows nothing of stores, goals and trust: whose signatures count is for the caller to say.
//
// A look-up takes at most 30 seconds for each of its Attempts, and the pauses between, of 75 seconds at most; without
// a server that asks for longer ones they are some 5 seconds in all for five attempts. A transfer ends when a server
// gives less than MinSpeed over StallTimeout, as often as Attempts allows before the next MiB has come. When a cache has
// failed its callers long enough (see [Breaker]) they are refused at once.
package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"troupe/storage/narinfo"
	"troupe/storage/storepath"
	"troupe/storage/transfer"
)

// Settings of a [Pool].
type Settings struct {
	StoreDir storepath.Dir
	transfer.Settings
	UserAgent    string
	Attempts     uint          // of each request; 0 counts as 1
	RetryDelay   time.Duration // before the second one; 0 is Nix's 250 ms
	StallTimeout time.Duration // without MinSpeed bytes a second; 0 waits for ever
	MinSpeed     int64         // 0: 128 bytes a second
	Answers      Answers       // nil: none are kept
	FilesToo     bool          // what directories of this machine say is kept, too
	Signers      []Signer      // of all uploads
	SpoolDir     string        // for what is packed before it is sent; "" is the system's
	// ReadKey reads the key file of a "secret-key" setting.
	ReadKey func(file string) (Signer, error)
	// AWSKey is what requests to S3 are signed with, by profile; see [AWSKeys]. nil signs nothing.
	AWSKey func(profile string) (AWSKey, error)
	// Warn takes one line; nil drops it.
	Warn func(string)
}

// Answers keeps what caches said, for as long as it sees fit. A file that a cache does not have is an answer too.
type Answers interface {
	Lookup(cache, file string) (text []byte, present, known bool)
	Remember(cache, file string, text []byte, present bool)
	Forget(cache, file string)
}

// Signer makes signatures: "<key name>:<base 64>" over a fingerprint.
type Signer interface {
	Sign(fingerprint string) string
}

// maxText bounds, in bytes, every file of a cache but NARs and logs: a narinfo has 44 bytes and more a reference.
const maxText = 4 << 20

// A Cache is one URL. Its methods may be called at once; what they have under way at once is bounded for all caches of
// one place together, and a call that has to wait waits.
type Cache struct {
	Config Config

	dir   storepath.Dir
	pool  *Pool
	place *place
	name  string // in Answers
	keys  []Signer

	describing  chan struct{} // holds a token while somebody reads or changes described
	described   *Description
	describedAt time.Time

	present sync.Map // hash parts of paths that an upload may refer to
}

// String is the cache's name, without settings and password.
func (c *Cache) String() string { return c.Config.String() }

// Status is the state of the cache's breaker, which all caches of one place share.
func (c *Cache) Status() Status { return c.place.status() }

// Info asks for a path. That there is none is no error.
func (c *Cache) Info(ctx context.Context, p storepath.Path) (narinfo.Info, bool, error) {
	if _, err := c.Describe(ctx); err != nil {
		return narinfo.Info{}, false, err
	}
	file := narinfo.FileName(p)
	text, found, err := c.remembered(ctx, file)
	if err != nil || !found {
		return narinfo.Info{}, false, err
	}
	info, err := c.parse(p, text)
	if err != nil {
		c.forget(file)
		return narinfo.Info{}, false, c.fail(Corrupt, err)
	}
	return info, true, nil
}

// parse reads what the cache says of p, and refuses what is about another path, or leads elsewhere.
func (c *Cache) parse(p storepath.Path, text []byte) (narinfo.Info, error) {
	name := c.show(narinfo.FileName(p))
	info, err := narinfo.Parse(c.dir, name, text)
	if err != nil {
		return info, err
	}
	if info.Path != p {
		err = fmt.Errorf("it is about '%s', not '%s'", c.dir.Join(info.Path), c.dir.Join(p))
	} else {
		err = checkName(info.URL)
	}
	if err != nil {
		return info, &narinfo.CorruptError{File: name, Reason: err}
	}
	return info, nil
}

// Log opens the log of a derivation's build, as far as the cache has it; unpacked.
func (c *Cache) Log(ctx context.Context, drv storepath.Path) (io.ReadCloser, bool, error) {
	name := drv.Base()
	if c.place.remote {
		name = url.PathEscape(name) // it may have a "?"
	}
	text, err := c.open(ctx, "log/"+name)
	if errors.Is(err, errAbsent) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return text, true, nil
}

// remembered is a small file, from what is remembered or from the cache.
func (c *Cache) remembered(ctx context.Context, file string) (text []byte, found bool, err error) {
	answers := c.pool.settings.Answers
	if answers != nil && c.place.remembered {
		if text, present, known := answers.Lookup(c.name, file); known {
			return text, present, nil
		}
	}
	text, err = c.text(ctx, file)
	if err != nil && !errors.Is(err, errAbsent) {
		return nil, false, err
	}
	if answers != nil && c.place.remembered {
		answers.Remember(c.name, file, text, err == nil)
	}
	return text, err == nil, nil
}

func (c *Cache) forget(file string) {
	if answers := c.pool.settings.Answers; answers != nil {
		answers.Forget(c.name, file)
	}
}

// show is a file's name for people.
func (c *Cache) show(file string) string { return c.String() + "/" + file }
