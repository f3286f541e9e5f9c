package validity

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the second process: it opens the database, says so,
// and holds it until its input ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_HOLD_DATABASE"); dir != "" {
		hold := func() error {
			db, err := Open(dir, Options{})
			if err != nil {
				return err
			}
			fmt.Println("held")
			if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
				return err
			}
			return db.Close()
		}
		if err := hold(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// other is a process that holds the database in dir.
func other(t *testing.T, dir string) (*exec.Cmd, io.Closer) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "TEST_HOLD_DATABASE="+dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return cmd, in
}

func TestASecondProcessIsToldWhoHolds(t *testing.T) {
	dir := t.TempDir()
	cmd, in := other(t, dir)
	var held *HeldError
	_, err := Open(dir, Options{})
	if !errors.As(err, &held) || !errors.Is(err, ErrHeld) || held.PID != cmd.Process.Pid || !strings.HasPrefix(held.Command, os.Args[0]) {
		t.Fatalf("error is %v", err)
	}
	opened := make(chan *DB, 1)
	go func() {
		db, err := OpenWait(context.Background(), dir, Options{})
		if err != nil {
			t.Error(err)
		}
		opened <- db
	}()
	must(t, in.Close())
	must(t, (<-opened).Close())
	must(t, cmd.Wait())
	if text, err := os.ReadFile(filepath.Join(dir, holderFile)); err != nil || len(text) > 0 {
		t.Errorf("after the close the holder file has %q, %v", text, err)
	}
}

func TestAKilledHolderIsNoHolder(t *testing.T) {
	dir := t.TempDir()
	cmd, _ := other(t, dir)
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Fatal("the killed process ended well")
	}
	if text, err := os.ReadFile(filepath.Join(dir, holderFile)); err != nil || len(text) == 0 {
		t.Fatalf("the killed process left %q, %v", text, err)
	}
	db, err := Open(dir, Options{})
	must(t, err)
	must(t, db.Close())
}

func TestWaitEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	cmd, in := other(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := OpenWait(ctx, dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	must(t, in.Close())
	must(t, cmd.Wait())
}
