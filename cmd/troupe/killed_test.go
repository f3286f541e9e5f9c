package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"troupe/storage/registration"
)

// look holds the store against what was acknowledged, and returns what is
// valid.
func (k *killer) look() map[string]bool {
	k.t.Helper()
	valid, referred := map[string]bool{}, map[string]string{}
	r := registration.NewReader(strings.NewReader(k.want(0, "store", "dump-db").stdout), storeDir, registration.Dump)
	for {
		info, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			k.t.Fatal(err)
		}
		valid[storeDir.Join(info.Path)] = true
		for _, ref := range info.References {
			referred[storeDir.Join(ref)] = storeDir.Join(info.Path)
		}
	}
	for path, by := range referred {
		if !valid[path] {
			k.t.Errorf("%s is valid and refers to %s, which is not", by, path)
		}
	}
	for path := range k.acked {
		if !valid[path] {
			k.t.Errorf("%s was acknowledged and is not valid", path)
		}
	}
	k.want(0, "verify", "--contents")
	return valid
}

// lookAtJournal lets the decisions of the newest run be made again.
func (k *killer) lookAtJournal() {
	k.t.Helper()
	if len(namesIn(flightDir(k.layout()))) > 0 {
		k.want(0, "replay")
	}
}

// lookForRest reports what a run that ended well has not cleaned up.
func (k *killer) lookForRest(salt string) {
	k.t.Helper()
	l := k.layout()
	for _, dir := range []string{l.SandboxesDir(), l.BuildsDir(), filepath.Join(l.StateDir, "temproots"), filepath.Join(k.work, "tmp")} {
		if left := namesIn(dir); len(left) > 0 {
			k.t.Errorf("%s has %q", dir, left)
		}
	}
	for _, name := range namesIn(l.StagingDir()) {
		if filepath.Join(l.StagingDir(), name) != l.SandboxesDir() {
			k.t.Errorf("staged: %s", name)
		}
	}
	for _, dir := range []string{l.RealStoreDir(), l.StateDir} {
		for _, name := range namesIn(dir) {
			if strings.HasSuffix(name, ".lock") && name != "gc.lock" || strings.HasPrefix(name, ".temproots-") {
				k.t.Errorf("%s has %s", dir, name)
			}
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), k.work) {
		k.t.Errorf("mounts are left (%v):\n%s", err, mounts)
	}
	k.awaitProcesses(salt)
}

// namesIn is empty where the directory is not there.
func namesIn(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// patienceWithKilled is how long the launcher of a killed service may take to
// kill what it launched.
const patienceWithKilled = time.Minute

func (k *killer) awaitProcesses(salt string) {
	k.t.Helper()
	var left []string
	for began := time.Now(); time.Since(began) < patienceWithKilled; time.Sleep(20 * time.Millisecond) {
		if left = k.processes(salt); len(left) == 0 {
			return
		}
	}
	k.t.Errorf("processes are left: %q", left)
}

// processes are those of our build users, and those that builders of the graph
// have started.
func (k *killer) processes(salt string) (found []string) {
	for _, pid := range namesIn("/proc") {
		st, err := os.Stat("/proc/" + pid)
		if err != nil || pid[0] < '0' || pid[0] > '9' {
			continue
		}
		line, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil {
			continue // it has ended
		}
		command := strings.ReplaceAll(string(line), "\x00", " ")
		uid := int(st.Sys().(*syscall.Stat_t).Uid)
		if strings.Contains(command, stuckSeconds(salt)) || strings.Contains(command, k.root) || uid >= k.uids[0] && uid < k.uids[1] {
			found = append(found, pid+" "+command)
		}
	}
	return found
}
