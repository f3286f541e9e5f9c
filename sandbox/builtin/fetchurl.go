package builtin

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/mikelolasagasti/xz"
)

// fetchURL downloads "url" into the output: as a file, or, with "unpack" = 1, as the tree that the NAR there
// holds. A file whose hash is known is asked of the mirrors first. With "executable" = 1 the result is executable. It does not check the hash: who registers the output does.
func fetchURL(in Input) error {
	out, err := in.out()
	if err != nil {
		return errors.New("'builtin:fetchurl' requires an 'out' output")
	}
	if !in.FixedOrImpure {
		return errors.New("'builtin:fetchurl' must be a fixed-output or impure derivation")
	}
	text, err := in.attribute("url")
	if err != nil {
		return err
	}
	from, err := url.Parse(text)
	if err != nil {
		return errors.New("'url' is not a URL") // err has the text, in which there may be a password
	}
	store := storeFile
	if in.Env["unpack"] == "1" {
		store = in.storeTree(strings.HasSuffix(text, ".xz"))
	}
	keep := func(body io.Reader) error { return store(body, out) }
	if !fetchByHash(in, keep) {
		if err := fetch(in, from, keep); err != nil {
			return err
		}
	}
	if in.Env["executable"] == "1" {
		return os.Chmod(out, 0o755)
	}
	return nil
}

// fetchByHash asks the mirrors first, one after the other, each once. That one does not have the file is nothing to
// speak of.
func fetchByHash(in Input, keep func(io.Reader) error) bool {
	if in.Hash == "" {
		return false
	}
	in.Attempts = 1
	for _, mirror := range in.Mirrors {
		from, err := url.Parse(strings.TrimSuffix(mirror, "/") + "/" + in.Hash)
		if err == nil && fetch(in, from, keep) == nil {
			return true
		}
	}
	return false
}

// fetch hands what is at the URL to keep; keep is called again, from the beginning, when an attempt broke off.
func fetch(in Input, from *url.URL, keep func(io.Reader) error) error {
	switch from.Scheme {
	case "http", "https":
		return download(in, from, keep)
	case "file":
		f, err := os.Open(from.Path)
		if err != nil {
			return fmt.Errorf("unable to download '%s': %w", from.Redacted(), err)
		}
		defer f.Close()
		return keep(f)
	}
	return fmt.Errorf("unable to download '%s': unsupported scheme %q", from.Redacted(), from.Scheme)
}

func storeFile(body io.Reader, out string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

// storeTree returns a store that unpacks a NAR.
func (in Input) storeTree(compressed bool) func(body io.Reader, out string) error {
	return func(body io.Reader, out string) error {
		if err := os.RemoveAll(out); err != nil {
			return err
		}
		if compressed {
			var err error
			if body, err = xz.NewReader(body, maxWindow); err != nil {
				return fmt.Errorf("unpack: %w", err)
			}
		}
		return in.Restore(body, out)
	}
}
