package main

import (
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// heart tells systemd how the service is, where systemd asks.
type heart struct {
	log  zerolog.Logger
	done chan struct{}
}

// newHeart beats twice as often as the watchdog wants, if there is one.
func newHeart(log zerolog.Logger) *heart {
	h := &heart{log: log, done: make(chan struct{})}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("ask for watchdog")
	}
	if every > 0 {
		go h.beat(every / 2)
	}
	return h
}

func (h *heart) beat(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			h.say(daemon.SdNotifyWatchdog)
		case <-h.done:
			return
		}
	}
}

func (h *heart) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		h.log.Warn().Err(err).Msg("notify systemd")
	}
}

// reloading says since when: systemd takes a later READY for its end.
func (h *heart) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		h.say(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	}
}

func (h *heart) stop() { close(h.done) }
