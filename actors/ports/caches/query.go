package caches

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"troupe/storage/binarycache"
	"troupe/storage/localstore"
	"troupe/storage/narinfo"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
	"troupe/storage/storeurl"
)

// programSource is a program that puts paths into the store, as Nix had them before
// it fetched by itself; its URL is program:///FILE.
//
//	FILE --query            answers on its output what it is asked on its input, line by line:
//	                        have, PATH  1 or 0
//	                        info, PATH  0; or 1, the deriver or nothing, the number of references,
//	                                    each of them, and two sizes in bytes, or 0: of the
//	                                    download and of the archive
//	FILE --substitute PATH  makes PATH, and ends with 0
//
// Nobody vouches for what it makes but who named it in the settings.
type programSource struct {
	file   string
	layout localstore.Layout
	config storeurl.Common

	mu      sync.Mutex    // held while it is asked
	asking  *exec.Cmd     // nil where none runs
	ended   chan struct{} // closed when it has
	ask     io.WriteCloser
	answers *bufio.Reader // of from
	from    *os.File
}

const programScheme = "program://"

// newProgramSource makes one of a URL.
func newProgramSource(text string, l localstore.Layout) (*programSource, error) {
	u, settings, err := storeurl.Parse(text)
	if err != nil {
		return nil, err
	}
	s := &programSource{file: u.Path, layout: l}
	if u.Host != "" || u.Path == "" {
		return nil, fmt.Errorf("read store URL '%s': it names no program of this machine", u)
	}
	for key, values := range settings {
		known, err := s.config.Set(key, values[len(values)-1])
		if err == nil && !known {
			err = errors.New("it is not known")
		}
		if err != nil {
			return nil, fmt.Errorf("read store URL '%s': setting '%s': %w", s, key, err)
		}
	}
	s.config.Trusted = true
	return s, nil
}

func (s *programSource) String() string { return programScheme + s.file }

// Describe looks whether it can be run.
func (s *programSource) Describe(context.Context) (binarycache.Description, error) {
	d := binarycache.Description{StoreDir: s.layout.Dir}
	if s.config.Priority != nil {
		d.Priority = *s.config.Priority
	}
	if s.config.WantMassQuery != nil {
		d.WantMassQuery = *s.config.WantMassQuery
	}
	if s.layout.Root != "" {
		return d, fmt.Errorf("a program knows of '%s' only, and this store is elsewhere", s.layout.Dir)
	}
	return d, unix.Access(s.file, unix.X_OK)
}

// Realisation: it is not asked for them.
func (*programSource) Realisation(context.Context, realisation.ID) (r realisation.Realisation, found bool, err error) {
	return r, false, nil
}

// fetch is not how it works; see [Caches.runProgram].
func (s *programSource) fetch(context.Context, narinfo.Info) (archive, error) {
	return nil, fmt.Errorf("'%s' gives no archives", s)
}

// Info asks what it knows of a path. One that fails is started anew the next time.
func (s *programSource) Info(ctx context.Context, p storepath.Path) (info narinfo.Info, found bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, lookUpLimit, fmt.Errorf("it does not answer within %v", lookUpLimit))
	defer cancel()
	if s.asking == nil {
		if err := s.start(); err != nil {
			return info, false, fmt.Errorf("run substituter '%s': %w", s, err)
		}
	}
	stop := context.AfterFunc(ctx, func() { unix.Kill(-s.asking.Process.Pid, unix.SIGKILL) })
	info, found, err = s.info(p)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.end()
		err = fmt.Errorf("ask substituter '%s' for '%s': %w", s, s.layout.Dir.Join(p), err)
	}
	return info, found, err
}

func (s *programSource) start() error {
	in, ask, err := os.Pipe()
	if err != nil {
		return err
	}
	from, out, err := os.Pipe()
	if err != nil {
		return errors.Join(err, in.Close(), ask.Close())
	}
	cmd := exec.Command(s.file, "--query")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = "/", in, out, os.Stderr
	ended, err := startTied(cmd)
	in.Close()
	out.Close()
	if err != nil {
		return errors.Join(err, ask.Close(), from.Close())
	}
	s.asking, s.ended, s.ask, s.from, s.answers = cmd, ended, ask, from, bufio.NewReaderSize(from, maxAnswer)
	return nil
}

// startTied starts a program that ends when we do. What the kernel looks at for that is
// the thread that started it, which therefore stays.
func startTied(cmd *exec.Cmd) (ended chan struct{}, err error) {
	ended = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // how it ended does not matter
			close(ended)
		}
	}()
	return ended, <-started
}

// end ends the program that is asked, if one runs. The caller holds mu.
func (s *programSource) end() {
	if s.asking == nil {
		return
	}
	s.ask.Close()
	unix.Kill(-s.asking.Process.Pid, unix.SIGKILL)
	<-s.ended
	s.from.Close()
	s.asking = nil
}

func (s *programSource) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
}

const (
	maxAnswer     = 4 << 10 // bytes of a line
	maxReferences = 1 << 16
)

func (s *programSource) info(p storepath.Path) (info narinfo.Info, found bool, err error) {
	if _, err := io.WriteString(s.ask, "info\n"+s.layout.Dir.Join(p)+"\n"); err != nil {
		return info, false, err
	}
	if has, err := s.number(1); err != nil || has == 0 {
		return info, false, err
	}
	info.Path = p
	if info.Deriver, err = s.path(true); err != nil {
		return info, false, err
	}
	n, err := s.number(maxReferences)
	for ; n > 0 && err == nil; n-- {
		var r storepath.Path
		r, err = s.path(false)
		info.References = append(info.References, r)
	}
	if err != nil {
		return info, false, err
	}
	info.References = sortedPaths(info.References)
	if info.FileSize, err = s.number(1 << 62); err == nil {
		info.NarSize, err = s.number(1 << 62)
	}
	return info, err == nil, err
}

func (s *programSource) line() (string, error) {
	line, err := s.answers.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		return "", errors.New("it ended")
	case err != nil:
		return "", err
	}
	return strings.TrimSuffix(string(line), "\n"), nil
}

func (s *programSource) number(most uint64) (uint64, error) {
	text, err := s.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("it says '%.100s' where a number up to %d is to be", text, most)
	}
	return n, nil
}

func (s *programSource) path(optional bool) (storepath.Path, error) {
	text, err := s.line()
	if err != nil || text == "" && optional {
		return storepath.Path{}, err
	}
	return s.layout.Dir.Parse(text)
}
