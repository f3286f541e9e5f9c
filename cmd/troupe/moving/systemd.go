package moving

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// nixUnits are those of Nix's daemon; the socket goes first, so that nobody starts
// the service again.
var nixUnits = []string{"nix-daemon.socket", "nix-daemon.service"}

// lookAtUnits notes how Nix's units are, once.
func (i *Installation) lookAtUnits(ctx context.Context, p *progress) error {
	p.Units = nil
	for _, name := range nixUnits {
		text, err := i.Systemctl(ctx, "show", "--property=LoadState,ActiveState", name)
		if err != nil {
			return err
		}
		state := map[string]string{}
		for line := range strings.Lines(text) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			state[key] = value
		}
		if state["LoadState"] == "not-found" {
			continue
		}
		p.Units = append(p.Units, unit{Name: name, Masked: state["LoadState"] == "masked",
			Active: state["ActiveState"] == "active" || state["ActiveState"] == "activating" || state["ActiveState"] == "reloading"})
	}
	return nil
}

// stopNix stops and masks Nix's units. A file where the mask must be is put aside.
func (i *Installation) stopNix(ctx context.Context, p *progress) error {
	for n := range p.Units {
		u := &p.Units[n]
		if _, err := i.Systemctl(ctx, "stop", u.Name); err != nil {
			return err
		}
		if err := i.putAside(u, p); err != nil {
			return err
		}
		if u.Masked {
			continue
		}
		if _, err := i.Systemctl(ctx, "mask", u.Name); err != nil {
			return err
		}
	}
	return i.seeNobodyListens(ctx, p)
}

// putAside moves a unit's file, or link, away from where the mask will be. It is
// noted before it is done.
func (i *Installation) putAside(u *unit, p *progress) error {
	file := filepath.Join(i.UnitDir, u.Name)
	if target, err := os.Readlink(file); err == nil && target == os.DevNull {
		return nil
	}
	if _, err := os.Lstat(file); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	u.Aside = file + ".before-troupe"
	if err := i.write(*p); err != nil {
		return err
	}
	return os.Rename(file, u.Aside)
}

// installUnits installs our units, and starts the socket: the service comes with
// the first client.
func (i *Installation) installUnits(ctx context.Context, _ *progress) error {
	for _, u := range Units(i.Layout, i.Socket, i.Command) {
		if err := replaceFile(filepath.Join(i.UnitDir, u.Name), []byte(u.Text)); err != nil {
			return fmt.Errorf("install '%s': %w", u.Name, err)
		}
	}
	return i.systemctls(ctx, []string{"daemon-reload"}, []string{"enable", SocketUnit, ServiceUnit}, []string{"start", SocketUnit})
}

// removeUnits stops and removes ours. Those that are not there were removed
// before.
func (i *Installation) removeUnits(ctx context.Context, _ *progress) error {
	for _, name := range []string{SocketUnit, ServiceUnit} {
		file := filepath.Join(i.UnitDir, name)
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := i.systemctls(ctx, []string{"stop", name}, []string{"disable", name}); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if _, err := i.Systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	return i.seeNobodyListens(ctx, nil)
}

// startNix puts Nix's units back as they were.
func (i *Installation) startNix(ctx context.Context, p *progress) error {
	for _, u := range p.Units {
		if u.Masked {
			continue
		}
		if err := i.systemctls(ctx, []string{"unmask", u.Name}); err != nil {
			return err
		}
		if u.Aside == "" {
			continue
		}
		if err := os.Rename(u.Aside, filepath.Join(i.UnitDir, u.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := i.systemctls(ctx, []string{"daemon-reload"}); err != nil {
		return err
	}
	for _, u := range p.Units {
		if u.Active && !u.Masked {
			if err := i.systemctls(ctx, []string{"start", u.Name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *Installation) systemctls(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if _, err := i.Systemctl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
