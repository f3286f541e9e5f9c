package binarycache

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"troupe/storage/storepath"
)

// infoFile is what a cache says of itself.
const infoFile = "nix-cache-info"

// Description is what a cache says of itself, with what its URL says instead.
type Description struct {
	StoreDir      storepath.Dir // of the paths in it
	Priority      int           // lower ones are asked first
	WantMassQuery bool          // it may be asked for many paths that nobody wants yet
}

// parseDescription reads nix-cache-info. Lines that it does not know are passed over, as Nix does; a store directory
// that is not one is refused.
func parseDescription(text []byte) (Description, error) {
	var d Description
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "StoreDir":
			d.StoreDir, err = storepath.ParseDir(value)
		case "Priority":
			if d.Priority, err = strconv.Atoi(value); err != nil {
				err = fmt.Errorf("'%.40s' is not a number", value)
			}
		case "WantMassQuery":
			d.WantMassQuery = value == "1"
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", key, err)
		}
	}
	return d, nil
}

// describeAgain is how long a process does without looking.
const describeAgain = time.Hour

// Describe asks the cache what it is, or remembers it. It refuses a cache for another store directory, and what is
// not a cache.
func (c *Cache) Describe(ctx context.Context) (Description, error) {
	select {
	case c.describing <- struct{}{}:
		defer func() { <-c.describing }()
	case <-ctx.Done():
		return Description{}, context.Cause(ctx)
	}
	if c.described != nil && time.Since(c.describedAt) < describeAgain {
		return *c.described, nil
	}
	d, err := c.describe(ctx)
	if err == nil {
		c.described, c.describedAt = &d, time.Now()
	}
	return d, err
}

func (c *Cache) describe(ctx context.Context) (Description, error) {
	text, found, err := c.remembered(ctx, infoFile)
	if err != nil {
		return Description{}, err
	}
	if !found {
		return Description{}, c.fail(Permanent, fmt.Errorf("'%s' does not appear to be a binary cache", c))
	}
	d, err := parseDescription(text)
	if err != nil {
		return d, c.fail(Corrupt, fmt.Errorf("read '%s' of '%s': %w", infoFile, c, err))
	}
	if d.StoreDir != "" && d.StoreDir != c.dir {
		return d, c.fail(Permanent, fmt.Errorf("binary cache '%s' is for Nix stores with prefix '%s', not '%s'", c, d.StoreDir, c.dir))
	}
	d.StoreDir = c.dir
	if c.Config.Priority != nil {
		d.Priority = *c.Config.Priority
	}
	if c.Config.WantMassQuery != nil {
		d.WantMassQuery = *c.Config.WantMassQuery
	}
	return d, nil
}

// Create makes a place a cache, if it is none yet.
func (c *Cache) Create(ctx context.Context) error {
	there, err := c.has(ctx, infoFile)
	if err != nil {
		return err
	}
	if !there {
		if err := c.putText(ctx, infoFile, "text/x-nix-cache-info", []byte("StoreDir: "+string(c.dir)+"\n")); err != nil {
			return err
		}
		c.forget(infoFile)
	}
	_, err = c.Describe(ctx)
	return err
}
