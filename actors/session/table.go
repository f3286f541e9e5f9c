package session

import (
	"troupe/actors/host"
	"troupe/messages"
)

const sessionTable = `
state      message           next       effects
---------  ----------------  ---------  ------------------------------------------------
idle       RealiseForClient  realising  worker: RealiseTargets
idle       ClientGone        ended      door: SessionEnded
idle       FinishUp          closing    port: CloseConnection
realising  TargetsRealised   idle       port: ClientAnswered
realising  ClientGone        leaving    worker: CancelRequest
realising  FinishUp          finishing
finishing  TargetsRealised   closing    port: ClientAnswered
finishing  ClientGone        leaving    worker: CancelRequest
finishing  CutOff            cut        worker: CancelRequest
cut        TargetsRealised   closing    port: ClientAnswered, CloseConnection
cut        ClientGone        leaving
closing    RealiseForClient  closing    port: ClientAnswered, refused
closing    ClientGone        ended      door: SessionEnded
closing    CutOff            closing    port: CloseConnection, at once
leaving    TargetsRealised   ended      door: SessionEnded
leaving    FinishUp          leaving
leaving    CutOff            leaving
ended      FinishUp          ended      (the door does not know yet)
ended      CutOff            ended
`

// Table implements [host.Tabled].
func (s *Session) Table() host.Table {
	return host.Table{Machine: "session", States: stateNames[1:], Text: sessionTable}
}

// StateFor implements [host.Tabled].
func (s *Session) StateFor(messages.Message) string { return s.state.String() }

const doorTable = `
state     message          next      effects
--------  ---------------  --------  ------------------------------------------------------------
open      ClientConnected  open      Spawn of a session, port: SessionOpened; or SessionRefused
open      SessionEnded     open      Stop, database: ReleasePaths
open      ActorFailed      open      worker: ForgetClient, port: CloseConnection, ReleasePaths
open      Drain            draining  all sessions: FinishUp, clock: StartTimer
open      Drain            shut      port: Drained (there is no session)
draining  ClientConnected  draining  port: SessionRefused; a builder comes in as when open
draining  SessionEnded     draining  as when open
draining  SessionEnded     shut      the same, and port: Drained
draining  ActorFailed      draining  as when open
draining  ActorFailed      shut      the same, and port: Drained
draining  TimerFired       draining  all sessions: CutOff
draining  Drain            draining
shut      ClientConnected  shut      port: SessionRefused
shut      TimerFired       shut
shut      Drain            shut
`

// Table implements [host.Tabled].
func (d *Door) Table() host.Table {
	return host.Table{Machine: "door", States: doorStateNames[:], Text: doorTable}
}

// StateFor implements [host.Tabled].
func (d *Door) StateFor(messages.Message) string { return d.state.String() }
