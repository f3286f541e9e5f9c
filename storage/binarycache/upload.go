package binarycache

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Upload packs a NAR and puts it into the cache, with what info says of it: the path, NarHash and NarSize, references,
// deriver, signatures and content address. Its references must be in the cache. What the cache says then is returned;
// a path that it has already stays as it is. The narinfo comes last, so that nobody finds a path whose NAR is not there.
// NARs of which nothing came of it stay in the cache, as with Nix.
func (c *Cache) Upload(ctx context.Context, info narinfo.Info, archive io.Reader) (narinfo.Info, error) {
	if err := take(ctx, c.place.uploads); err != nil {
		return info, err
	}
	defer func() { <-c.place.uploads }()
	if err := c.Create(ctx); err != nil {
		return info, err
	}
	if known, found, err := c.asked(ctx, info.Path); found || err != nil {
		return known, err
	}
	for _, r := range info.References {
		if there, err := c.Has(ctx, r); err != nil || !there && r != info.Path {
			if err == nil {
				err = c.fail(Permanent, fmt.Errorf("cannot add '%s' to the binary cache because the reference '%s' is not valid", c.dir.Join(info.Path), c.dir.Join(r)))
			}
			return info, err
		}
	}
	return c.upload(ctx, info, archive)
}

// asked is what the cache itself says of a path now: what is remembered may be from before an upload.
func (c *Cache) asked(ctx context.Context, p storepath.Path) (narinfo.Info, bool, error) {
	text, err := c.text(ctx, narinfo.FileName(p))
	if errors.Is(err, errAbsent) {
		return narinfo.Info{}, false, nil
	}
	if err != nil {
		return narinfo.Info{}, false, err
	}
	info, err := c.parse(p, text)
	if err != nil {
		return info, false, c.fail(Corrupt, err)
	}
	c.present.Store(p.HashPart(), true)
	return info, true, nil
}

// Has says whether the cache has a path now, whatever is remembered.
func (c *Cache) Has(ctx context.Context, p storepath.Path) (bool, error) {
	if _, known := c.present.Load(p.HashPart()); known {
		return true, nil
	}
	there, err := c.has(ctx, narinfo.FileName(p))
	if there {
		c.present.Store(p.HashPart(), true)
	}
	return there, err
}

func (c *Cache) upload(ctx context.Context, info narinfo.Info, archive io.Reader) (_ narinfo.Info, err error) {
	spool, err := c.spool()
	if err != nil {
		return info, fmt.Errorf("upload '%s': %w", c.dir.Join(info.Path), err)
	}
	defer func() { err = errors.Join(err, spool.drop()) }()
	list, err := c.fill(ctx, spool, &info, archive)
	if err != nil {
		return info, fmt.Errorf("upload '%s': %w", c.dir.Join(info.Path), err)
	}
	if err := c.putListings(ctx, info, list); err != nil {
		return info, err
	}
	there, err := c.has(ctx, info.URL)
	if err == nil && !there {
		err = c.put(ctx, info.URL, "application/x-nix-nar", spool)
	}
	if err != nil {
		return info, err
	}
	for _, key := range c.keys {
		info.Signatures = append(info.Signatures[:len(info.Signatures):len(info.Signatures)], key.Sign(info.Fingerprint(c.dir)))
	}
	file, text := narinfo.FileName(info.Path), info.Print(c.dir)
	if err := c.putText(ctx, file, "text/x-nix-narinfo", text); err != nil {
		return info, err
	}
	c.forget(file)
	c.present.Store(info.Path.HashPart(), true)
	return info, nil
}

// fill packs the archive into the spool file, checks that it is the one that info speaks of, and completes info with
// what is known of the file.
func (c *Cache) fill(ctx context.Context, spool *spooled, info *narinfo.Info, archive io.Reader) (*lister, error) {
	fileHash := nixhash.SHA256.New()
	file := bufio.NewWriterSize(io.MultiWriter(spool, fileHash), 1<<17)
	packed, err := pack(c.Config, info.NarSize, file)
	if err != nil {
		return nil, err
	}
	list, err := survey(whileIn{ctx, archive}, packed, info)
	if err := errors.Join(err, packed.Close(), file.Flush()); err != nil {
		return nil, err
	}
	if spool.size, err = spool.Seek(0, io.SeekCurrent); err != nil {
		return nil, err
	}
	info.Compression = c.Config.Compression
	info.FileHash, info.FileSize = nixhash.Finish(nixhash.SHA256, fileHash), uint64(spool.size)
	info.URL = "nar/" + info.FileHash.Base32() + ".nar" + suffixes[c.Config.Compression]
	return list, nil
}

// survey copies the archive and looks at it on its way.
func survey(archive io.Reader, to io.Writer, info *narinfo.Info) (*lister, error) {
	narHash := nixhash.SHA256.New()
	all := &counter{Reader: io.TeeReader(archive, io.MultiWriter(to, narHash))}
	in := &counter{Reader: bufio.NewReaderSize(all, 1<<17)}
	list := &lister{in: in, debug: map[string]string{}}
	if err := nar.Parse(in, list); err != nil {
		return nil, err
	}
	if n, err := io.Copy(io.Discard, in); err != nil || n > 0 {
		return nil, errors.Join(err, fmt.Errorf("%d bytes follow the archive", n))
	}
	if got := nixhash.Finish(nixhash.SHA256, narHash); got != info.NarHash || all.n != info.NarSize {
		return nil, fmt.Errorf("its NAR has hash %v and %d bytes, not %v and %d", got, all.n, info.NarHash, info.NarSize)
	}
	return list, nil
}

// whileIn fails once its context has ended.
type whileIn struct {
	ctx context.Context
	io.Reader
}

func (w whileIn) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.Reader.Read(p)
}

// putListings writes what the URL's settings ask for. They stay when the upload fails, and say the truth.
func (c *Cache) putListings(ctx context.Context, info narinfo.Info, list *lister) error {
	if c.Config.WriteNarListing {
		text, err := list.text()
		if err == nil {
			err = c.putText(ctx, info.Path.HashPart()+".ls", "application/json", text)
		}
		if err != nil {
			return err
		}
	}
	if !c.Config.IndexDebugInfo {
		return nil
	}
	for id, member := range list.debug {
		text, err := debugText(info.URL, member)
		if err == nil {
			err = c.putText(ctx, "debuginfo/"+id, "application/json", text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
