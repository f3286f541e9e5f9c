package binarycache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// startNginx serves a directory, and returns its address.
func startNginx(t *testing.T, dir string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			missing(t, "nginx")
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free now
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	at, err := os.MkdirTemp("", "nginx") // its workers may be of another user, whom t.TempDir keeps out
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(at) })
	must(t, os.CopyFS(at+"/root", os.DirFS(dir)))
	config := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log stderr; events {}\nhttp { access_log off; gzip on; gzip_types *;\n"+
		"client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;\n"+
		"server { listen %[2]s; root %[1]s/root; } }\n", at, address)
	must(t, os.WriteFile(at+"/conf", []byte(config), 0o644))
	c := exec.Command(program, "-c", at+"/conf", "-p", at, "-e", "stderr")
	var says bytes.Buffer
	c.Stderr = &says
	must(t, c.Start())
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Logf("nginx: %s", &says)
		}
	})
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return address
		}
		time.Sleep(10 * time.Millisecond) // it says nowhere when it listens
	}
	t.Fatalf("nginx does not listen: %s", &says)
	return ""
}

// cutter ends each connection after some bytes, and counts the connections.
type cutter struct {
	net.Conn
	left int
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// A NAR of each method comes whole from a real server, though no connection lives for more than 500 kB; and what came
// once is not asked for again.
func TestResumeFromNginx(t *testing.T) {
	methods := []string{"none", "zstd", "gzip", "xz", "bzip2", "br"}
	if raced {
		methods = methods[:3]
	}
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			s := newSample(t, method, true)
			address := startNginx(t, s.dir)
			var conns atomic.Int64
			settings := Settings{StoreDir: "/nix/store", Attempts: 5, RetryDelay: time.Millisecond}
			settings.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				conns.Add(1)
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				return &cutter{conn, 500_000}, err
			}
			pool := NewPool(settings)
			defer pool.Close()
			c, err := pool.Open("http://cache.example")
			must(t, err)
			info, found, err := c.Info(context.Background(), s.info.Path)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			r, err := c.Fetch(context.Background(), info)
			must(t, err)
			archive, err := io.ReadAll(r)
			must(t, r.Close())
			received := r.Received()
			if err != nil || !bytes.Equal(archive, s.archive) {
				t.Errorf("%d bytes, %v", len(archive), err)
			}
			least := int64(info.FileSize) / 500_000
			if n := conns.Load(); n < least || n > least+3 || received != int64(info.FileSize) {
				t.Errorf("%d connections for %d bytes", n, info.FileSize)
			}
		})
	}
}
