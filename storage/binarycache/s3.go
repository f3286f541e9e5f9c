package binarycache

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// s3 is what a URL "s3://bucket" says of its server.
type s3 struct {
	Endpoint string // host and port; "" is Amazon's
	Region   string
	Scheme   string
	Profile  string // of the credentials file; "" is the default one
}

// AWSKey is what requests to S3 are signed with; without ID they are not.
type AWSKey struct{ ID, Secret, Token string }

// set reads a setting of S3, if it is one.
func (s *s3) set(key, value string) (known bool, err error) {
	switch key {
	case "endpoint":
		s.Endpoint = value
		if u, perr := url.Parse("//" + value); perr != nil || u.Host != value {
			err = fmt.Errorf("'%s' is not a host", value)
		}
	case "region":
		s.Region = value
	case "scheme":
		s.Scheme = value
		if value != "http" && value != "https" {
			err = fmt.Errorf("'%s' is neither http nor https", value)
		}
	case "profile":
		s.Profile = value
	default:
		return false, nil
	}
	return true, err
}

// base is where a cache's files are over HTTP. On Amazon's own servers a bucket is a host, elsewhere a directory.
func (c Config) base() *url.URL {
	if c.S3 == nil {
		return c.URL
	}
	u := *c.URL
	u.Scheme, u.Host = c.S3.Scheme, fmt.Sprintf("%s.s3.%s.amazonaws.com", c.URL.Host, c.S3.Region)
	if c.S3.Endpoint != "" {
		u.Host, u.Path = c.S3.Endpoint, "/"+c.URL.Host+c.URL.Path
	}
	return &u
}

// sign is the function that signs requests to an S3 server; nil where the URL is of another kind, or nobody has keys.
func (s *Settings) sign(c Config) func(*http.Request) (*http.Request, error) {
	if c.S3 == nil || s.AWSKey == nil {
		return nil
	}
	return func(r *http.Request) (*http.Request, error) {
		key, err := s.AWSKey(c.S3.Profile)
		if err != nil {
			return nil, fmt.Errorf("read keys for '%s': %w", c, err)
		}
		if key.ID == "" {
			return r, nil
		}
		// The body's hash is in no header: TLS keeps the body whole, and a NAR has its own hash.
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		return signer.SignV4(*r, key.ID, key.Secret, key.Token, c.S3.Region), nil
	}
}

// AWSKeys looks for keys where Amazon's own programs do: in the environment, in the credentials file, and at the machine
// that we run on, if it is Amazon's. It is for [Settings.AWSKey].
func AWSKeys() func(profile string) (AWSKey, error) {
	var mu sync.Mutex
	profiles := map[string]*credentials.Credentials{}
	return func(profile string) (AWSKey, error) {
		mu.Lock()
		defer mu.Unlock()
		if profiles[profile] == nil {
			providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{Profile: profile}}
			if profile != "" { // it was asked for by name
				providers = providers[1:]
			}
			if onAmazon() {
				providers = append(providers, &credentials.IAM{})
			}
			profiles[profile] = credentials.NewChainCredentials(providers)
		}
		v, err := profiles[profile].GetWithContext(nil)
		if v.SignerType.IsAnonymous() {
			v = credentials.Value{}
		}
		return AWSKey{v.AccessKeyID, v.SecretAccessKey, v.SessionToken}, err
	}
}

// onAmazon says whether there is a metadata service: elsewhere its address answers nothing, for a long time.
func onAmazon() bool {
	if strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return false
	}
	if os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" {
		return true
	}
	vendor, err := os.ReadFile("/sys/class/dmi/id/sys_vendor")
	return err == nil && strings.Contains(string(vendor), "Amazon")
}
