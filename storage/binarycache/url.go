package binarycache

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"troupe/storage/storeurl"
)

// Config is a cache's URL taken apart: where it is, and Nix's settings of such a store.
type Config struct {
	URL *url.URL // without settings and without a slash at its end; may hold credentials

	storeurl.Common

	Compression         string // of what is uploaded
	CompressionLevel    int    // -1 for the method's own
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
	u, settings, err := storeurl.Parse(text)
	if err != nil {
		return c, err
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
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
	if known, err := c.Common.Set(key, value); known {
		return err
	}
	switch key {
	case "compression":
		c.Compression, err = value, writable(value)
	case "compression-level":
		c.CompressionLevel, err = storeurl.Number(value)
	case "parallel-compression":
		c.ParallelCompression, err = storeurl.Boolean(value)
	case "secret-key":
		c.SecretKey = value
	case "write-nar-listing":
		c.WriteNarListing, err = storeurl.Boolean(value)
	case "index-debug-info":
		c.IndexDebugInfo, err = storeurl.Boolean(value)
	case "path-info-cache-size", "local-nar-cache", "system-features", "narinfo-compression", "ls-compression", "log-compression",
		"multipart-upload", "buffer-size":
		c.Warnings = append(c.Warnings, fmt.Sprintf("setting '%s' of '%s' has no effect", key, c))
	default:
		c.Warnings = append(c.Warnings, fmt.Sprintf("unknown setting '%s' of '%s'", key, c))
	}
	return err
}
