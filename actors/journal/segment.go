package journal

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"reflect"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// A file of the compact form is [magic] and frames. A frame is the length of its
// body and the body's CRC-32C, four bytes each, little-endian, and the body: one
// byte that says what it is, and
//
//	h  the header, as JSON
//	s  steps
//	l  how many steps are missing here, as they came faster than the disk took them
//
// A step is the time since the one before, the actor, the message, the state,
// twice the number of effects plus one if there was a panic, the effects, and
// why it panicked. An effect is 0, the receiver and the message; 1, an actor and
// its kind; or 2 and an actor.
//
// A message that was sent by a step of the same file is written as its distance
// among the messages sent, from 1. Any other is 0, its type and its value; a type
// is 0, its name and its shape when it comes first, and then its number, from 1.

const magic = "troupe-journal-2\n"

const (
	headerFrame = 'h'
	stepsFrame  = 's'
	lostFrame   = 'l'
)

const (
	sendEffect  = 0
	spawnEffect = 1
	stopEffect  = 2
)

// maxFrame bounds a frame's body, in bytes.
const maxFrame = 16 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment encodes the steps of one file.
type segment struct {
	encoder
	types map[reflect.Type]uint64
	sent  map[messages.Message]uint64
	count uint64 // messages sent to machines, ever
	at    time.Duration
}

func newSegment() *segment {
	return &segment{encoder: encoder{names: map[string]uint64{}},
		types: map[reflect.Type]uint64{}, sent: map[messages.Message]uint64{}}
}

// begin starts a frame in the buffer, and end completes it.
func (s *segment) begin(kind byte) {
	if cap(s.buf) > 4*frameSize { // one step was much larger than a frame
		s.buf = nil
	}
	s.buf = append(s.buf[:0], 0, 0, 0, 0, 0, 0, 0, 0, kind)
}

func (s *segment) end() []byte {
	body := s.buf[8:]
	binary.LittleEndian.PutUint32(s.buf, uint32(len(body)))
	binary.LittleEndian.PutUint32(s.buf[4:], crc32.Checksum(body, castagnoli))
	return s.buf
}

func (s *segment) header(h Header) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	s.begin(headerFrame)
	s.buf = append(s.buf, text...)
	return s.end(), nil
}

func (s *segment) lost(n uint64) []byte {
	s.begin(lostFrame)
	s.uint(n)
	return s.end()
}

func (s *segment) step(st *host.Step) {
	s.buf = binary.AppendVarint(s.buf, int64(st.At-s.at))
	s.at = st.At
	s.name(string(st.Actor))
	s.received(st.Message)
	s.name(st.State)
	n := uint64(len(st.Effects)) * 2
	if st.Panic != "" {
		n++
	}
	s.uint(n)
	for _, e := range st.Effects {
		s.effect(e)
	}
	if st.Panic != "" {
		s.text(st.Panic)
	}
}

func (s *segment) effect(e host.Effect) {
	switch e := e.(type) {
	case host.Send:
		s.uint(sendEffect)
		s.name(string(e.To))
		s.message(e.Msg)
		if !e.To.IsPort() {
			s.count++
			s.sent[e.Msg] = s.count
		}
	case host.Spawn:
		s.uint(spawnEffect)
		s.name(string(e.Actor))
		s.name(string(e.Kind))
	case host.Stop:
		s.uint(stopEffect)
		s.name(string(e.Actor))
	default:
		panic(fmt.Sprintf("a journal cannot hold %v", e))
	}
}

func (s *segment) received(m messages.Message) {
	if n, ok := s.sent[m]; ok {
		delete(s.sent, m)
		s.uint(s.count - n + 1)
		return
	}
	s.uint(0)
	s.message(m)
}

func (s *segment) message(m messages.Message) {
	v := reflect.ValueOf(m).Elem()
	t := v.Type()
	sh := shapeOf(t)
	if n, ok := s.types[t]; ok {
		s.uint(n)
	} else {
		s.types[t] = uint64(len(s.types)) + 1
		s.uint(0)
		s.text(messages.Name(m))
		s.text(sh.String())
	}
	s.value(sh, v)
}
