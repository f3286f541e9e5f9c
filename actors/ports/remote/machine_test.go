package remote

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/buildmachines"
	"troupe/storage/storepath"
)

// hanging is a machine that answers so many requests after its greeting, and then reads
// and says nothing; -1 does not even greet.
func (s *stage) hanging(answers int) *buildmachines.List {
	s.t.Helper()
	socket := s.t.TempDir() + "/socket"
	l, err := net.Listen("unix", socket)
	s.must(err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				answer(conn, answers)
				io.Copy(io.Discard, conn)
			})
		}
	})
	s.t.Cleanup(func() {
		s.r.Close()
		l.Close()
		serving.Wait()
	})
	return buildmachines.NewList("unix://"+socket+" arm - 1 1 kvm,big", "x86_64-linux")
}

// answer greets, and then answers requests for which nothing is to be done.
func answer(conn net.Conn, requests int) error {
	if requests < 0 {
		return nil
	}
	r, w := workerproto.NewReader(conn), workerproto.NewWriter(conn)
	d, err := workerproto.Server{Dir: "/nix/store", Version: workerproto.Newest, Trust: workerproto.Trusted}.Accept(r, w)
	err = errors.Join(err, workerproto.WriteFrame(w, &workerproto.Last{}, d), w.Flush())
	for range requests {
		op, err := r.Int()
		if err != nil {
			return err
		}
		q, err := workerproto.DecodeRequest(r, workerproto.Op(op), d)
		if err != nil {
			return err
		}
		var reply workerproto.Reply = &workerproto.Nothing{}
		if _, is := q.(*workerproto.QueryValidPaths); is {
			reply = &workerproto.Paths{}
		}
		err = errors.Join(workerproto.WriteFrame(w, &workerproto.Last{}, d), workerproto.WriteReply(w, reply, d), w.Flush())
	}
	return err
}

// TestMachineHangs: one that takes the connection and never answers, or answers no more,
// is lost within connect-timeout, or stalled-download-timeout after that.
func TestMachineHangs(t *testing.T) {
	const none = "nothing came from there and nothing went there for 200ms"
	for _, c := range []struct {
		answers int
		want    string
	}{
		{-1, "it does not answer within 200ms"}, // no greeting
		{0, "it does not answer within 200ms"},  // no answer to the settings
		{1, none},                               // nor to what of the inputs is there
		{2, none},                               // what is sent is read, and not answered
	} {
		t.Run(fmt.Sprint(c.answers), func(t *testing.T) {
			s := newStage(t, "")
			policy := ports.BuildPolicy{Remote: ports.RemotePolicy{Machines: s.hanging(c.answers), ConnectTimeout: 200 * time.Millisecond}}
			if c.answers > 0 {
				policy.Remote.ConnectTimeout, policy.Builtin.StallTimeout = time.Minute, 200*time.Millisecond
			}
			d, err := s.s.ReadDerivation(s.drv)
			s.must(err)
			machines, _, err := policy.Remote.Machines.Machines()
			s.must(err)
			e, err := s.r.Engage(t.Context(), ports.Work{Build: "drv/x", Place: messages.Place{Machine: machines[0].URL}, Path: s.drv, Derivation: d,
				Inputs: []storepath.Path{s.drv}, Outputs: []string{"out"}, Policy: policy})
			if err == nil {
				err = e.Build(t.Context(), io.Discard)
				s.must(e.Close())
			}
			var lost *ports.LostError
			if !errors.As(err, &lost) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}
