package binarycache

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"troupe/storage/narinfo"
)

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// signatureV4 computes the signature of a request as Amazon's documents say, from the request and the headers that its
// Authorization names.
func signatureV4(r *http.Request, secret string) string {
	field := func(name string) string {
		_, rest, _ := strings.Cut(r.Header.Get("Authorization"), name+"=")
		value, _, _ := strings.Cut(rest, ",")
		return value
	}
	_, scope, _ := strings.Cut(field("Credential"), "/")
	signed := strings.Split(field("SignedHeaders"), ";")
	slices.Sort(signed)
	headers := ""
	for _, name := range signed {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical := strings.Join([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, headers, strings.Join(signed, ";"), r.Header.Get("X-Amz-Content-Sha256")}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+hex.EncodeToString(sum[:])))
}

// The example "GET Object" of Amazon's document "Signature Calculations for the Authorization Header".
func TestSignatureV4(t *testing.T) {
	const want = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	r := httptest.NewRequest("GET", "http://examplebucket.s3.amazonaws.com/test.txt", nil)
	for name, value := range map[string]string{
		"Range": "bytes=0-9", "X-Amz-Date": "20130524T000000Z",
		"X-Amz-Content-Sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," +
			"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=" + want,
	} {
		r.Header.Set(name, value)
	}
	if got := signatureV4(r, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A cache in S3 is written and read, each request signed, and a NAR goes on where it broke off.
func TestS3(t *testing.T) {
	s := newSample(t, "none", true)
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	store := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	var unsigned, ranges atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, got, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		if got == "" || got != signatureV4(r, "secret") || !strings.Contains(r.Header.Get("Authorization"), "Credential=id/") {
			unsigned.Add(1)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Header.Get("Range") != "" {
			ranges.Add(1)
		}
		store.ServeHTTP(w, r)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	url := fmt.Sprintf("s3://bucket?endpoint=%s&scheme=http&region=eu-west-1&compression=zstd", address)
	settings := Settings{StoreDir: "/nix/store", Attempts: 5, RetryDelay: time.Millisecond,
		AWSKey: func(string) (AWSKey, error) { return AWSKey{ID: "id", Secret: "secret"}, nil }}
	open := func() *Cache {
		c, err := NewPool(settings).Open(url)
		must(t, err)
		return c
	}
	info := narinfo.Info{Path: parsePath(t, "i1kx9g2zbfgblhg37zik3s0vy4clkbzd-a+b=c"), NarHash: s.info.NarHash, NarSize: s.info.NarSize}
	info, err := open().Upload(context.Background(), info, bytes.NewReader(s.archive))
	must(t, err)
	settings.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &cutter{conn, 1_200_000}, err
	}
	c := open()
	if d, err := c.Describe(context.Background()); err != nil || d.StoreDir != "/nix/store" {
		t.Errorf("%+v, %v", d, err)
	}
	s.info.Path = info.Path
	if archive, err := get(c, s); err != nil || !bytes.Equal(archive, s.archive) {
		t.Errorf("%d bytes, %v", len(archive), err)
	}
	if _, found, err := c.Info(context.Background(), parsePath(t, "rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep")); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if unsigned.Load() != 0 || ranges.Load() == 0 {
		t.Errorf("%d requests were not signed, %d asked for a part", unsigned.Load(), ranges.Load())
	}
	settings.AWSKey = func(string) (AWSKey, error) { return AWSKey{ID: "id", Secret: "other"}, nil }
	if _, err := get(open(), s); !is(err, Permanent) {
		t.Errorf("with another key: %v", err)
	}
	if _, err := open().Upload(context.Background(), info, bytes.NewReader(s.archive)); !is(err, Permanent) || !strings.Contains(err.Error(), "HTTP error 403") {
		t.Errorf("with another key: %v", err)
	}
}

// Keys are where Amazon's own programs look.
func TestAWSKeys(t *testing.T) {
	file := t.TempDir() + "/credentials"
	must(t, os.WriteFile(file, []byte("[default]\naws_access_key_id = a\naws_secret_access_key = b\n[other]\naws_access_key_id = c\naws_secret_access_key = d\naws_session_token = e\n"), 0o600))
	for name, value := range map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file, "AWS_CONFIG_FILE": file + "-none", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "", "AWS_ACCESS_KEY": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SECRET_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": ""} {
		t.Setenv(name, value)
	}
	keys := AWSKeys()
	for profile, want := range map[string]AWSKey{"": {"a", "b", ""}, "other": {"c", "d", "e"}} {
		if got, err := keys(profile); err != nil || got != want {
			t.Errorf("%q: %v, %v", profile, got, err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "f")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "g")
	keys = AWSKeys()
	for profile, want := range map[string]AWSKey{"": {"f", "g", ""}, "other": {"c", "d", "e"}} {
		if got, err := keys(profile); err != nil || got != want {
			t.Errorf("%q: %v, %v", profile, got, err)
		}
	}
}
