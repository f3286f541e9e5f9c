// Package storeurl has what the URLs of all kinds of stores have in common: settings as a query, of which some mean the
// same everywhere.
package storeurl

import (
	"fmt"
	"net/url"
	"strconv"

	"troupe/storage/storepath"
)

// Common are the settings that every kind of store has.
type Common struct {
	Priority      *int          // nil: as the store says, or 0; lower ones are asked first
	WantMassQuery *bool         // nil: as the store says, or no
	Trusted       bool          // what comes from it needs no signature
	StoreDir      storepath.Dir // "" for that of the machine
}

// Set reads a setting, if it is one of these.
func (c *Common) Set(key, value string) (known bool, err error) {
	switch key {
	case "priority":
		c.Priority = new(int)
		*c.Priority, err = Number(value)
	case "want-mass-query":
		c.WantMassQuery = new(bool)
		*c.WantMassQuery, err = Boolean(value)
	case "trusted":
		c.Trusted, err = Boolean(value)
	case "store":
		c.StoreDir, err = storepath.ParseDir(value)
	default:
		return false, nil
	}
	return true, err
}

// Number reads a number as settings have it.
func Number(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("'%s' is not a number", s)
	}
	return n, nil
}

// Boolean reads a Boolean as settings have it.
func Boolean(s string) (bool, error) {
	switch s {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("'%s' is not a Boolean", s)
}

// Parse takes a URL apart: what is returned is without its settings, and these. Errors name it without its password.
func Parse(text string) (*url.URL, url.Values, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("read store URL: it is not a URL") // err has the text, in which there may be a password
	}
	settings, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, nil, fmt.Errorf("read store URL '%s': its settings are not a query", u.Redacted())
	}
	u.RawQuery, u.Fragment = "", ""
	return u, settings, nil
}
