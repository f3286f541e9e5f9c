package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"troupe/storage/transfer"
)

// download asks an HTTP server until it answers, fails for good, or all attempts are used up.
func download(in Input, from *url.URL, keep func(io.Reader) error) error {
	client, err := transfer.New(from, transfer.Settings{Netrc: in.Netrc, CA: in.CA, Proxy: in.Proxy, ConnectTimeout: in.ConnectTimeout})
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for attempt := uint(1); ; attempt++ {
		err := try(in, client, from, keep)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("unable to download '%s': %w", from.Redacted(), err)
		var passing *transfer.TransientError
		if !errors.As(err, &passing) || attempt >= in.Attempts {
			return err
		}
		pause := transfer.Pause(in.RetryDelay, attempt, err)
		in.warn("%v; retrying in %d ms (attempt %d/%d)", err, pause.Milliseconds(), attempt, in.Attempts)
		time.Sleep(pause)
	}
}

// try makes one attempt. What keep cannot write is not the server's fault and ends it all.
func try(in Input, client *http.Client, from *url.URL, keep func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stall := transfer.NewStall(in.StallTimeout, 0, cancel)
	defer stall.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, transfer.WithoutUser(from).String(), nil)
	if err != nil {
		return errors.New("'url' is not a URL")
	}
	request.Header.Set("User-Agent", in.userAgent())
	response, err := client.Do(request)
	if err != nil {
		return transfer.Classify(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return transfer.Refuse(response)
	}
	stall.Came(1)
	body := &transfer.Body{Reader: response.Body, Stall: stall}
	err = keep(body)
	if body.Err != nil {
		return transfer.Classify(ctx, body.Err)
	}
	return err
}

func (in Input) userAgent() string {
	if in.UserAgent == "" {
		return "troupe"
	}
	return in.UserAgent
}
