package remote

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"troupe/actors/ports"
	"troupe/messages/workerproto"
)

// hook is a running build hook. It hears questions on its standard input, answers
// on its standard error, and has what builders say on descriptor 4.
type hook struct {
	ports.Hook
	key   string // equal for hooks that would answer alike
	cmd   *exec.Cmd
	in    *os.File // our ends of the pipes
	said  *os.File
	log   *os.File
	lines *bufio.Reader // of said
	since time.Time     // when it was last left alone

	over chan struct{} // closed when it has ended, with err
	err  error
}

// start starts a hook with an environment beside the service's own.
func start(h ports.Hook, key string, env []string) (*hook, error) {
	program, err := exec.LookPath(h.Program[0])
	if err != nil {
		return nil, fmt.Errorf("start build hook: %w", err)
	}
	k := &hook{Hook: h, key: key, over: make(chan struct{})}
	if err := k.launch(program, env); err != nil {
		return nil, fmt.Errorf("start build hook '%s': %w", program, err)
	}
	k.lines = bufio.NewReader(k.said)
	go func() {
		k.err = k.cmd.Wait()
		close(k.over)
	}()
	if err := k.introduce(); err != nil {
		return nil, errors.Join(fmt.Errorf("start build hook '%s': %w", program, err), k.kill())
	}
	return k, nil
}

// launch makes the pipes and the process. Its ends of them are closed here.
func (k *hook) launch(program string, env []string) (err error) {
	var opened, theirs []*os.File
	defer func() {
		if err != nil {
			theirs = opened
		}
		for _, f := range theirs {
			err = errors.Join(err, f.Close())
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			opened = append(opened, r, w)
		}
		return r, w, err
	}
	stdin, in, err := pipe()
	if err != nil {
		return err
	}
	said, stderr, err := pipe()
	if err != nil {
		return err
	}
	log, builder, err := pipe()
	if err != nil {
		return err
	}
	// On descriptor 5 it can look at what its own ssh has written to 4. It is opened
	// anew, as ours is not to block.
	look, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", descriptor(log)))
	if err != nil {
		return err
	}
	opened = append(opened, look)
	k.cmd = exec.Command(program, k.arguments()...)
	k.cmd.Args[0], k.cmd.Dir = filepath.Base(program), "/"
	k.cmd.Stdin, k.cmd.Stdout, k.cmd.Stderr = stdin, stderr, stderr
	k.cmd.ExtraFiles = []*os.File{nil, builder, look} // 3 is nothing
	k.cmd.Env = append(os.Environ(), env...)
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := k.cmd.Start(); err != nil {
		return err
	}
	k.in, k.said, k.log, theirs = in, said, log, []*os.File{stdin, stderr, builder, look}
	return nil
}

// descriptor is the number of a file, which stays as it is: [os.File.Fd] would let
// it block.
func descriptor(f *os.File) (n uintptr) {
	c, err := f.SyscallConn()
	if err == nil {
		err = c.Control(func(fd uintptr) { n = fd })
	}
	if err != nil { // it was just opened
		panic(err)
	}
	return n
}

// verbosity is Nix's number for what hooks are to say: information.
const verbosity = "3"

// arguments are what it is told when it starts. Up to Nix 1.11 they were all that
// it knew of the settings.
func (k *hook) arguments() []string {
	if !k.Lines {
		return append(k.Program[1:len(k.Program):len(k.Program)], verbosity)
	}
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
	return append(k.Program[1:len(k.Program):len(k.Program)], k.System, seconds(k.Limits.Silence), "0", seconds(k.Limits.Total))
}

// introduce tells it the settings. One that does not hear them may have answered
// already.
func (k *hook) introduce() error {
	if k.Lines {
		return nil
	}
	w := workerproto.NewWriter(k.in)
	for _, s := range k.Settings {
		w.Int(1)
		w.String(s.Name)
		w.String(s.Value)
	}
	w.Int(0)
	if err := w.Flush(); !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return nil
}

// kill ends the hook and all that it has started, and waits for it.
func (k *hook) kill() error {
	err := syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		err = nil
	}
	<-k.over
	return errors.Join(err, k.close())
}

func (k *hook) close() (err error) {
	for _, f := range []*os.File{k.in, k.said, k.log} {
		if cerr := f.Close(); !errors.Is(cerr, os.ErrClosed) {
			err = errors.Join(err, cerr)
		}
	}
	return err
}
