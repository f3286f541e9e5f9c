package binarycache

import (
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"

	"github.com/andybalholm/brotli"
	packbzip2 "github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	packxz "github.com/ulikunitz/xz"
)

// maxWindow bounds, in bytes, what a packed stream can make us hold: what "zstd --long" and "xz -9" ask for.
const maxWindow = 128 << 20

// programs unpack what we do not, from their standard input to their output.
var programs = map[string][]string{
	"lzip":     {"lzip", "-dc"},
	"lz4":      {"lz4", "-dc"},
	"lzma":     {"xz", "--format=lzma", "-dc"},
	"lzop":     {"lzop", "-dc"},
	"lrzip":    {"lrzip", "-dq", "-o", "-"},
	"compress": {"gzip", "-dc"},
}

// unpack undoes a compression, by its name in a narinfo. Closing the stream does not close r.
func unpack(ctx context.Context, method string, r io.Reader) (io.ReadCloser, error) {
	r = bufio.NewReaderSize(r, 1<<16)
	switch method {
	case "none", "":
		return io.NopCloser(r), nil
	case "xz":
		x, err := xz.NewReader(r, maxWindow)
		return io.NopCloser(x), err
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case "bzip2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case "gzip":
		return gzip.NewReader(r)
	case "br":
		return io.NopCloser(brotli.NewReader(r)), nil
	}
	if argv, ok := programs[method]; ok {
		return runUnpacker(ctx, argv, r)
	}
	return nil, fmt.Errorf("unknown compression method '%.40s'", method)
}

// unpacker is a program at work.
type unpacker struct {
	io.Reader
	cmd    *exec.Cmd
	cancel context.CancelFunc
	says   strings.Builder
	ended  bool
}

func runUnpacker(ctx context.Context, argv []string, r io.Reader) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	u := &unpacker{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), cancel: cancel}
	u.cmd.Stdin, u.cmd.Stderr = r, &u.says
	out, err := u.cmd.StdoutPipe()
	if err == nil {
		err = u.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("unpack with '%s': %w", argv[0], err)
	}
	u.Reader = out
	return u, nil
}

// Read ends with the program: its failure is an error.
func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if n == 0 && errors.Is(err, io.EOF) && !u.ended {
		u.ended = true
		if werr := u.cmd.Wait(); werr != nil {
			err = fmt.Errorf("unpack with '%s': %w: %.200s", u.cmd.Args[0], werr, strings.TrimSpace(u.says.String()))
		}
	}
	return n, err
}

// Close ends the program. Whoever closes has ended what it reads from before, or read all.
func (u *unpacker) Close() error {
	u.cancel()
	if !u.ended {
		u.ended = true
		u.cmd.Wait() // it was killed
	}
	return nil
}

// suffixes are those of packed NARs, by the methods that we can write.
var suffixes = map[string]string{"none": "", "xz": ".xz", "zstd": ".zst", "bzip2": ".bz2", "gzip": ".gz", "br": ".br"}

func writable(method string) error {
	if _, ok := suffixes[method]; !ok {
		return fmt.Errorf("unknown compression method '%.40s'", method)
	}
	return nil
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// pack compresses what is written to it; a level of -1 is the method's own.
func pack(c Config, w io.Writer) (io.WriteCloser, error) {
	level := func(own, least, most int) int {
		if c.CompressionLevel < 0 {
			return own
		}
		return min(max(c.CompressionLevel, least), most)
	}
	switch c.Compression {
	case "none":
		return plain{w}, nil
	case "xz":
		return packxz.WriterConfig{DictCap: xzWindow[level(6, 0, 9)]}.NewWriter(w)
	case "zstd":
		threads := 1
		if c.ParallelCompression {
			threads = runtime.GOMAXPROCS(0)
		}
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level(3, 1, 22))), zstd.WithEncoderConcurrency(threads))
	case "bzip2":
		return packbzip2.NewWriter(w, &packbzip2.WriterConfig{Level: level(9, 1, 9)})
	case "gzip":
		return gzip.NewWriterLevel(w, level(6, 0, 9))
	case "br":
		return brotli.NewWriterLevel(w, level(6, 0, 11)), nil
	}
	return nil, writable(c.Compression)
}

// xzWindow are the windows of xz's presets, in bytes.
var xzWindow = [...]int{256 << 10, 1 << 20, 2 << 20, 4 << 20, 4 << 20, 8 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20}
