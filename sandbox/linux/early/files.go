package early

import "syscall"

// originalFiles is the limit on open files that this process was started with,
// if Go has raised it, as it does before anything of ours runs: it keeps the old
// one to itself and gives it back to what it executes. So one such process is
// stopped when it is executed, and asked. Where nobody may do that it is nil.
func originalFiles() *syscall.Rlimit {
	var now, was syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) != nil || now.Cur != now.Max-1 {
		return nil // Go leaves it one below the highest
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{BuiltinName}, &syscall.ProcAttr{Env: []string{}, Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}})
	if err != nil {
		return nil
	}
	var status syscall.WaitStatus
	_, err = syscall.Wait4(pid, &status, 0, nil)
	if err == nil && status.Stopped() {
		err = readLimit(pid, syscall.RLIMIT_NOFILE, &was)
		syscall.Kill(pid, syscall.SIGKILL)
		syscall.Wait4(pid, &status, 0, nil)
	}
	if err != nil || was.Max == 0 {
		return nil
	}
	return &was
}
