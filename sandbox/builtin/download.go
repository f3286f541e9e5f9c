package builtin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

const (
	maxRedirects = 10
	// firstDelay is before the second attempt.
	firstDelay = 250 * time.Millisecond
	// maxDelay bounds a wait, whatever a server asks for.
	maxDelay = 60 * time.Second
)

// download asks an HTTP server until it answers, fails for good, or all attempts are used up.
func download(in Input, from *url.URL, keep func(io.Reader) error) error {
	client, err := newClient(in, from)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	delay := in.RetryDelay
	if delay == 0 {
		delay = firstDelay
	}
	for attempt := uint(1); ; attempt++ {
		err := try(in, client, from, keep)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("unable to download '%s': %w", from.Redacted(), err)
		var passing *transientError
		if !errors.As(err, &passing) || attempt >= in.Attempts {
			return err
		}
		pause := max(min(delay, maxDelay), min(passing.after, maxDelay))
		pause += time.Duration(rand.Int64N(int64(pause)/4 + 1))
		in.warn("%v; retrying in %d ms (attempt %d/%d)", err, pause.Milliseconds(), attempt, in.Attempts)
		time.Sleep(pause)
		delay *= 2
	}
}

// transientError is a failure after which another attempt may go better, not before a while where the server
// said so.
type transientError struct {
	reason error
	after  time.Duration
}

func (e *transientError) Error() string { return e.reason.Error() }
func (e *transientError) Unwrap() error { return e.reason }

// try makes one attempt. What keep cannot write is not the server's fault and ends it all.
func try(in Input, client *http.Client, from *url.URL, keep func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stall := newStall(in.StallTimeout, cancel)
	defer stall.stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, withoutUser(from).String(), nil)
	if err != nil {
		return errors.New("'url' is not a URL")
	}
	request.Header.Set("User-Agent", in.userAgent())
	response, err := client.Do(request)
	if err != nil {
		return classify(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return statusError(response)
	}
	body := &watchedBody{body: response.Body, stall: stall}
	err = keep(body)
	if body.err != nil {
		return classify(ctx, body.err)
	}
	return err
}

func (in Input) userAgent() string {
	if in.UserAgent == "" {
		return "troupe"
	}
	return in.UserAgent
}

// watchedBody keeps the network's own error apart from those of whoever reads, and resets the stall clock.
type watchedBody struct {
	body  io.Reader
	stall *stall
	err   error
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if n > 0 {
		b.stall.reset()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// stall ends a request when nothing has come for a while.
type stall struct {
	timer *time.Timer
	limit time.Duration
}

func newStall(limit time.Duration, cancel context.CancelCauseFunc) *stall {
	if limit == 0 {
		return &stall{}
	}
	gone := fmt.Errorf("nothing came for %v", limit)
	return &stall{limit: limit, timer: time.AfterFunc(limit, func() { cancel(gone) })}
}

func (s *stall) reset() {
	if s.timer != nil {
		s.timer.Reset(s.limit)
	}
}

func (s *stall) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// classify turns a network error into ours: the URL in it is dropped, as that of a redirect may hold secrets.
func classify(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &transientError{reason: cause}
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var refused *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	if errors.As(err, &refused) || errors.As(err, &notTLS) || errors.Is(err, errRedirect) {
		return err
	}
	return &transientError{reason: err}
}

// statusError sorts answers as Nix does: most of what a server says of itself (5xx) may pass, and so may
// a time-out and "too many requests"; what it says of the request does not.
func statusError(response *http.Response) error {
	err := fmt.Errorf("HTTP error %d", response.StatusCode)
	switch code := response.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
	case code == http.StatusNotImplemented, code == http.StatusHTTPVersionNotSupported, code == http.StatusNetworkAuthenticationRequired:
		return err
	case code < 500:
		return err
	}
	return &transientError{reason: err, after: retryAfter(response)}
}

func retryAfter(response *http.Response) time.Duration {
	wait, err := time.ParseDuration(response.Header.Get("Retry-After") + "s")
	if err != nil || wait < 0 {
		return 0
	}
	return wait
}

// newClient makes a client that trusts the authorities of in alone, and sends credentials as guard allows.
func newClient(in Input, first *url.URL) (*http.Client, error) {
	trust, err := authorities(in.CA)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: in.ConnectTimeout}
	proxy := (&httpproxy.Config{HTTPProxy: proxyFor(in.Proxy, "http_proxy"), HTTPSProxy: proxyFor(in.Proxy, "https_proxy"),
		NoProxy: in.Proxy["no_proxy"]}).ProxyFunc()
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		TLSClientConfig:     &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: in.ConnectTimeout,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // the bytes are what is hashed
	}
	return &http.Client{Transport: newGuard(transport, first, in.Netrc), CheckRedirect: checkRedirect}, nil
}

func proxyFor(proxies map[string]string, name string) string {
	if proxy := proxies[name]; proxy != "" {
		return proxy
	}
	return proxies["all_proxy"]
}

// authorities returns nil, which means those of the system, when there is no text.
func authorities(text []byte) (*x509.CertPool, error) {
	if len(text) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("read certificate authorities: no certificate in them")
	}
	return pool, nil
}
