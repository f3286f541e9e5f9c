package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"troupe/storage/transfer"
)

// server is a cache that speaks HTTP.
type server struct {
	client   *http.Client
	base     *url.URL // without credentials
	settings *Settings
}

// exchange is one request and its answer, under a watch that ends them when the server stalls.
type exchange struct {
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
	stall  *transfer.Stall
}

func (s *server) begin(ctx context.Context) *exchange {
	e := &exchange{}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	e.stall = transfer.NewStall(s.settings.StallTimeout, s.settings.MinSpeed, e.cancel)
	return e
}

func (e *exchange) end() {
	e.stall.Stop()
	e.cancel(nil)
}

// do sends a request; an answer in the range 200–299 is the caller's to close.
func (s *server) do(e *exchange, method, name string, prepare func(*http.Request)) (*http.Response, error) {
	r, err := http.NewRequestWithContext(e.ctx, method, s.base.String()+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", s.settings.UserAgent)
	if prepare != nil {
		prepare(r)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return nil, transfer.Classify(e.ctx, err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	switch response.StatusCode {
	// An S3 that may not be listed says 403 for what it does not have.
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden:
		if method != http.MethodPut {
			io.CopyN(io.Discard, response.Body, 4<<10) // what is read to its end leaves the connection free
			return nil, errAbsent
		}
	}
	return nil, transfer.Refuse(response)
}

func (s *server) get(ctx context.Context, name string, from int64) (_ *content, err error) {
	e := s.begin(ctx)
	defer func() {
		if err != nil {
			e.end()
		}
	}()
	response, err := s.do(e, http.MethodGet, name, func(r *http.Request) {
		if from > 0 {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		}
	})
	if err != nil {
		return nil, err
	}
	e.stall.Came(0)
	c := &content{ReadCloser: &answer{transfer.Body{Reader: response.Body, Stall: e.stall}, response.Body, e}, size: response.ContentLength,
		encoding: response.Header.Get("Content-Encoding")}
	switch {
	case response.StatusCode == http.StatusOK:
	case response.StatusCode == http.StatusPartialContent && from > 0:
		c.from, c.size, err = parseRange(response.Header.Get("Content-Range"))
	default:
		err = &transfer.StatusError{Code: response.StatusCode}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// parseRange reads "bytes FROM-TO/SIZE"; an unknown size is -1.
func parseRange(s string) (from, size int64, err error) {
	span, whole, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	first, _, dash := strings.Cut(span, "-")
	from, err = strconv.ParseInt(first, 10, 64)
	if !ok || !dash || err != nil || from < 0 {
		return 0, 0, fmt.Errorf("the server sent the part %.80q", s)
	}
	if size, err = strconv.ParseInt(whole, 10, 64); err != nil {
		size = -1
	}
	return from, size, nil
}

// answer is the body of an answer.
type answer struct {
	transfer.Body
	closer io.Closer
	*exchange
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.Body.Read(p)
	if a.Err != nil {
		err = transfer.Classify(a.ctx, a.Err)
	}
	return n, err
}

func (a *answer) Close() error {
	a.end()
	return a.closer.Close()
}

func (s *server) has(ctx context.Context, name string) (bool, error) {
	e := s.begin(ctx)
	defer e.end()
	response, err := s.do(e, http.MethodHead, name, nil)
	if errors.Is(err, errAbsent) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, response.Body.Close()
}

func (s *server) put(ctx context.Context, name, kind string, b body) error {
	e := s.begin(ctx)
	defer e.end()
	source := &source{from: io.NewSectionReader(b, 0, b.Size()), stall: e.stall}
	response, err := s.do(e, http.MethodPut, name, func(r *http.Request) {
		r.Header.Set("Content-Type", kind)
		r.ContentLength = b.Size()
		if b.Size() > 0 {
			r.Body = source
		}
	})
	source.detach()
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// source is the body of a request. What the server takes counts for the watch. The transport may go on reading in its
// own goroutine when the answer is there already.
type source struct {
	mu    sync.Mutex
	from  io.Reader
	stall *transfer.Stall // nil once nobody waits
	last  int
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stall == nil {
		return 0, errors.New("the request is over")
	}
	s.stall.Came(s.last)
	n, err := s.from.Read(p)
	s.last = n
	s.stall.Wait()
	return n, err
}

func (s *source) Close() error { return nil }

func (s *source) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stall = nil
}
