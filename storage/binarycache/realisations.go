package binarycache

import (
	"context"
	"fmt"
	"net/url"

	"troupe/storage/realisation"
)

// realisationFile is the name of what a cache says of an output.
func (c *Cache) realisationFile(id realisation.ID) string {
	name := id.String() + ".doi"
	if c.place.remote {
		name = url.PathEscape(name) // an output may have a "?"
	}
	return "realisations/" + name
}

// Realisation asks where an output lies. That it is not known is no error.
func (c *Cache) Realisation(ctx context.Context, id realisation.ID) (realisation.Realisation, bool, error) {
	if _, err := c.Describe(ctx); err != nil {
		return realisation.Realisation{}, false, err
	}
	file := c.realisationFile(id)
	text, found, err := c.remembered(ctx, file)
	if err != nil || !found {
		return realisation.Realisation{}, false, err
	}
	r, err := realisation.Parse(text)
	if err == nil && r.ID != id {
		err = fmt.Errorf("it is about '%v'", r.ID)
	}
	if err != nil {
		c.forget(file)
		return realisation.Realisation{}, false, c.fail(Corrupt, fmt.Errorf("read '%s': %w", c.show(file), err))
	}
	return r, true, nil
}

// PutRealisation writes down where an output lies, of which the path is in the cache.
func (c *Cache) PutRealisation(ctx context.Context, r realisation.Realisation) error {
	text, err := r.JSON()
	if err != nil {
		return err
	}
	file := c.realisationFile(r.ID)
	if err := c.putText(ctx, file, "application/json", []byte(text)); err != nil {
		return err
	}
	c.forget(file)
	return nil
}
