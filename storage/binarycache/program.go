package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// programs unpack what we do not, from their standard input to their output.
var programs = map[string][]string{
	"lzip":     {"lzip", "-dc"},
	"lz4":      {"lz4", "-dc"},
	"lzma":     {"xz", "--format=lzma", "-dc"},
	"lzop":     {"lzop", "-dc"},
	"compress": {"gzip", "-dc"},
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
