// Package transfer makes HTTP requests as Nix does: with its netrc file, proxies and authorities, and with an end to
// those that stall. It says which failures may pass. It is unaware of what is transferred.
package transfer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// Settings of a client; the zero value has no credentials, no proxy and no limits.
type Settings struct {
	// Netrc is the text of the netrc file, or empty.
	Netrc []byte
	// CA is a bundle of authorities in PEM; empty means those that the system has.
	CA []byte
	// Proxy holds http_proxy, https_proxy, all_proxy and no_proxy.
	Proxy map[string]string
	// ConnectTimeout gives up on a server that does not take the connection; 0 never does.
	ConnectTimeout time.Duration
	// Connections is how many there may be to one host at once; 0 is no bound. Over HTTP/2 many requests share one.
	Connections int
	// HTTP1 keeps to HTTP/1.1.
	HTTP1 bool
	// Sign changes each request to the first URL's server, and no other; nil is nothing.
	Sign func(*http.Request) (*http.Request, error)
	// Dial makes connections; nil is the machine's network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// New makes a client that trusts the authorities of s alone, and sends credentials to the server of the first URL
// alone: those in the URL, or else those of the netrc file.
func New(first *url.URL, s Settings) (*http.Client, error) {
	trust, err := authorities(s.CA)
	if err != nil && first.Scheme == "https" {
		return nil, err
	}
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: s.ConnectTimeout}).DialContext
	}
	proxy := (&httpproxy.Config{HTTPProxy: proxyFor(s.Proxy, "http_proxy"), HTTPSProxy: proxyFor(s.Proxy, "https_proxy"),
		NoProxy: s.Proxy["no_proxy"]}).ProxyFunc()
	transport := &http.Transport{
		DialContext:         dial,
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		TLSClientConfig:     &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: s.ConnectTimeout,
		ForceAttemptHTTP2:   !s.HTTP1,
		DisableCompression:  true, // the bytes are what is hashed
		MaxConnsPerHost:     s.Connections,
		MaxIdleConnsPerHost: s.Connections,
		IdleConnTimeout:     idleTimeout,
	}
	guard := newGuard(transport, first, s.Netrc)
	guard.sign = s.Sign
	return &http.Client{Transport: guard, CheckRedirect: checkRedirect}, nil
}

// idleTimeout is below what servers allow, so that they rarely close a connection just when it is used again.
const idleTimeout = 30 * time.Second

func proxyFor(proxies map[string]string, name string) string {
	if proxy := proxies[name]; proxy != "" {
		return proxy
	}
	return proxies["all_proxy"]
}

// authorities returns nil, which means those of the system, when there is no text,
// and nobody where the text has none.
func authorities(text []byte) (*x509.CertPool, error) {
	if len(text) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return pool, errors.New("read certificate authorities: no certificate in them")
	}
	return pool, nil
}
