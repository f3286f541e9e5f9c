package binarycache

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"troupe/storage/storepath"
)

// Config is a cache's URL taken apart: where it is, and Nix's settings of such a store.
type Config struct {
	URL *url.URL // without settings and without a slash at its end; may hold credentials

	Priority      *int  // nil: as the cache says, or 0; lower ones are asked first
	WantMassQuery *bool // nil: as the cache says, or no
	Trusted       bool  // what comes from it needs no signature

	StoreDir            storepath.Dir // "" for that of the machine
	Compression         string        // of what is uploaded
	CompressionLevel    int           // -1 for the method's own
	ParallelCompression bool
	SecretKey           string // the file of a key to sign uploads with; "" for none
	WriteNarListing     bool
	IndexDebugInfo      bool

	S3 *s3 // of a URL "s3://bucket"; nil for others

	Warnings []string // on settings that are not known, or without effect
}

// schemes are those that [ParseURL] knows.
var schemes = []string{"file", "http", "https", "s3"}

// Known says whether a substituter's URL is that of a binary cache of ours.
func Known(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && slices.Contains(schemes, scheme)
}

// String is the cache's name: its URL without settings and password.
func (c Config) String() string { return c.URL.Redacted() }

// ParseURL reads the URL of a cache with settings as its query.
func ParseURL(text string) (Config, error) {
	c := Config{Compression: "xz", CompressionLevel: -1}
	u, err := url.Parse(text)
	if err != nil {
		return c, fmt.Errorf("read store URL: it is not a URL") // err has the text, in which there may be a password
	}
	settings, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("read store URL '%s': its settings are not a query", u.Redacted())
	}
	u.RawQuery, u.Fragment, u.Path, u.RawPath = "", "", strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	c.URL = u
	switch {
	case !slices.Contains(schemes, u.Scheme):
		return c, fmt.Errorf("read store URL '%s': scheme '%s' is none of %s", u.Redacted(), u.Scheme, strings.Join(schemes, ", "))
	case u.Scheme == "file" && (u.Host != "" || u.Path == ""):
		return c, fmt.Errorf("read store URL '%s': it names no directory of this machine", u.Redacted())
	case u.Scheme != "file" && u.Hostname() == "":
		return c, fmt.Errorf("read store URL '%s': it names no host", u.Redacted())
	case u.Scheme == "s3":
		c.S3 = &s3{Region: "us-east-1", Scheme: "https"}
	}
	for key, values := range settings {
		if err := c.set(key, values[len(values)-1]); err != nil {
			return c, fmt.Errorf("read store URL '%s': setting '%s': %w", u.Redacted(), key, err)
		}
	}
	if c.ParallelCompression && (c.Compression == "br" || c.Compression == "none") {
		c.Warnings = append(c.Warnings, fmt.Sprintf("setting 'parallel-compression' of '%s' has no effect on '%s'", c, c.Compression))
	}
	slices.Sort(c.Warnings)
	return c, nil
}

func (c *Config) set(key, value string) (err error) {
	if c.S3 != nil {
		if known, err := c.S3.set(key, value); known {
			return err
		}
	}
	switch key {
	case "priority":
		c.Priority = new(int)
		*c.Priority, err = number(value)
	case "want-mass-query":
		c.WantMassQuery = new(bool)
		*c.WantMassQuery, err = boolean(value)
	case "trusted":
		c.Trusted, err = boolean(value)
	case "store":
		c.StoreDir, err = storepath.ParseDir(value)
	case "compression":
		c.Compression, err = value, writable(value)
	case "compression-level":
		c.CompressionLevel, err = number(value)
	case "parallel-compression":
		c.ParallelCompression, err = boolean(value)
	case "secret-key":
		c.SecretKey = value
	case "write-nar-listing":
		c.WriteNarListing, err = boolean(value)
	case "index-debug-info":
		c.IndexDebugInfo, err = boolean(value)
	case "path-info-cache-size", "local-nar-cache", "system-features", "narinfo-compression", "ls-compression", "log-compression",
		"multipart-upload", "buffer-size":
		c.Warnings = append(c.Warnings, fmt.Sprintf("setting '%s' of '%s' has no effect", key, c))
	default:
		c.Warnings = append(c.Warnings, fmt.Sprintf("unknown setting '%s' of '%s'", key, c))
	}
	return err
}

func number(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("'%s' is not a number", s)
	}
	return n, nil
}

func boolean(s string) (bool, error) {
	switch s {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("'%s' is not a Boolean", s)
}
