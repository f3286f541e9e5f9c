package binarycache

import (
	"fmt"
	"io"
	"runtime"

	"github.com/andybalholm/brotli"
	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

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

// pack compresses what is written to it, some size bytes.
func pack(c Config, size uint64, w io.Writer) (io.WriteCloser, error) {
	if !c.ParallelCompression || size <= chunkSize {
		return packer(c, size, 1, w)
	}
	switch c.Compression {
	case "xz", "bzip2", "gzip":
		return &parallel{out: w, pack: func(w io.Writer) (io.WriteCloser, error) { return packer(c, chunkSize, 1, w) }}, nil
	}
	return packer(c, size, runtime.GOMAXPROCS(0), w)
}

// packer is the method's own; a level of -1 is too.
func packer(c Config, size uint64, threads int, w io.Writer) (io.WriteCloser, error) {
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
		window := min(uint64(xzWindow[level(6, 0, 9)]), max(size, leastWindow))
		return xz.WriterConfig{DictCap: int(window)}.NewWriter(w)
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level(3, 1, 22))), zstd.WithEncoderConcurrency(threads))
	case "bzip2":
		return bzip2.NewWriter(w, &bzip2.WriterConfig{Level: level(9, 1, 9)})
	case "gzip":
		return gzip.NewWriterLevel(w, level(6, 0, 9))
	case "br":
		return brotli.NewWriterLevel(w, level(6, 0, 11)), nil
	}
	return nil, writable(c.Compression)
}

// leastWindow is the smallest window that xz knows, in bytes.
const leastWindow = 4 << 10

// xzWindow are the windows of xz's presets, in bytes.
var xzWindow = [...]int{256 << 10, 1 << 20, 2 << 20, 4 << 20, 4 << 20, 8 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20}
