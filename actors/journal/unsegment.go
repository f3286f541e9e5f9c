package journal

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// segmentReader reads one file of the compact form.
type segmentReader struct {
	in     *bufio.Reader
	header Header
	decoder
	types []readType
	sent  map[uint64]messages.Message
	count uint64
	at    time.Duration
	lost  uint64 // steps that are missing before the next
}

// readType is a message type as the file describes it.
type readType struct {
	name string
	*shape
}

// newSegmentReader reads what is before the steps, after the magic.
func newSegmentReader(in *bufio.Reader) (*segmentReader, error) {
	r := &segmentReader{in: in, sent: map[uint64]messages.Message{}}
	kind, err := r.frame()
	if err == nil && kind != headerFrame {
		err = errors.New("there is no header")
	}
	if err == nil {
		err = json.Unmarshal(r.buf, &r.header)
	}
	r.buf = nil
	return r, err
}

// frame reads the next frame's body. At the end of the file it is [io.EOF].
func (r *segmentReader) frame() (kind byte, err error) {
	var head [8]byte
	if n, err := io.ReadFull(r.in, head[:]); err != nil {
		if n > 0 {
			err = errCut
		}
		return 0, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size == 0 || size > maxFrame {
		return 0, errors.New("a frame has an impossible length")
	}
	body, err := io.ReadAll(io.LimitReader(r.in, int64(size)))
	if err != nil {
		return 0, err
	}
	if len(body) < int(size) {
		return 0, errCut
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return 0, errors.New("a frame is damaged: its checksum is wrong")
	}
	r.buf = body[1:]
	return body[0], nil
}

// next reads a step. What is missing before it is in lost.
func (r *segmentReader) next() (rec Record, err error) {
	for len(r.buf) == 0 {
		kind, err := r.frame()
		if err != nil {
			return rec, err
		}
		switch kind {
		case stepsFrame:
		case lostFrame:
			n, err := r.uint()
			if err != nil {
				return rec, err
			}
			r.lost += n
		default:
			return rec, fmt.Errorf("a frame is of an unknown kind %q", kind)
		}
	}
	return r.step()
}

func (r *segmentReader) step() (rec Record, err error) {
	delta, size := binary.Varint(r.buf)
	if size <= 0 {
		return rec, errShort
	}
	r.buf = r.buf[size:]
	r.at += time.Duration(delta)
	rec.At = r.at
	var actor string
	if actor, err = r.name(); err != nil {
		return rec, err
	}
	rec.Actor = messages.Address(actor)
	if err = r.received(&rec); err != nil {
		return rec, err
	}
	if rec.State, err = r.name(); err != nil {
		return rec, err
	}
	n, err := r.uint()
	if err != nil {
		return rec, err
	}
	for range n / 2 {
		if err := r.effect(&rec); err != nil {
			return rec, err
		}
	}
	if n%2 == 1 {
		rec.Panic, err = r.text()
	}
	return rec, err
}

func (r *segmentReader) effect(rec *Record) error {
	tag, err := r.uint()
	if err != nil {
		return err
	}
	to, err := r.name()
	if err != nil {
		return err
	}
	at := messages.Address(to)
	switch tag {
	case sendEffect:
		m, err := r.message(rec)
		if err != nil {
			return err
		}
		if !at.IsPort() {
			r.count++
			r.sent[r.count] = m
		}
		if m != nil {
			rec.Effects = append(rec.Effects, host.Send{To: at, Msg: m})
		}
		return nil
	case spawnEffect:
		kind, err := r.name()
		rec.Effects = append(rec.Effects, host.Spawn{Actor: at, Kind: host.Kind(kind)})
		return err
	case stopEffect:
		rec.Effects = append(rec.Effects, host.Stop{Actor: at})
		return nil
	}
	return fmt.Errorf("an effect is of an unknown kind %d", tag)
}

func (r *segmentReader) received(rec *Record) error {
	back, err := r.uint()
	if err != nil {
		return err
	}
	if back == 0 {
		rec.Message, err = r.message(rec)
		return err
	}
	n := r.count - back + 1
	m, ok := r.sent[n]
	if !ok || back > r.count {
		return errors.New("a message refers to one that was not sent")
	}
	delete(r.sent, n)
	rec.Message = m
	return nil
}

func (r *segmentReader) message(rec *Record) (messages.Message, error) {
	n, err := r.uint()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		if err := r.newType(); err != nil {
			return nil, err
		}
		n = uint64(len(r.types))
	}
	if n > uint64(len(r.types)) {
		return nil, fmt.Errorf("message type %d was not described", n)
	}
	t := r.types[n-1]
	m := messages.New(t.name)
	if m == nil {
		rec.Unknown = t.name
		return nil, r.value(t.shape, reflect.Value{})
	}
	if err := r.value(t.shape, reflect.ValueOf(m).Elem()); err != nil {
		return nil, fmt.Errorf("message %q: %w", t.name, err)
	}
	return m, nil
}

func (r *segmentReader) newType() error {
	name, err := r.text()
	if err != nil {
		return err
	}
	text, err := r.text()
	if err != nil {
		return err
	}
	s, err := parseShape(text)
	r.types = append(r.types, readType{name, s})
	return err
}
