package store

import (
	"context"
	"errors"
	"fmt"

	"hyperkube/store/backend"
	"hyperkube/store/seal"
)

// Rekey has values sealed and opened with other keys from now on. What is stored and opens
// with the keys so far must open with the new ones, or all stays as it is: *seal.LostError
// says what would be lost. So must what is being written now.
func (s *Store) Rekey(ctx context.Context, keys *seal.Config) error {
	for _, c := range s.collections() {
		if err := c.keeps(ctx, keys.For(c.res.Group, c.res.Name)); err != nil {
			return fmt.Errorf("store: other keys for %s: %w", c.res.Name, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
	for _, c := range s.byName {
		c.keys.Store(keys.For(c.res.Group, c.res.Name))
	}
	return nil
}

// keeps says why a keyring, which may be nil, cannot take the place of the present one.
func (c *collection) keeps(ctx context.Context, next *seal.Keyring) error {
	present := c.keys.Load()
	if present == nil || present == next {
		return nil
	}
	if next == nil {
		if c.res.Encrypted && !c.store.opts.AllowPlain {
			return errors.New("its values must be encrypted and there is no key for them")
		}
		next = seal.NoKeys
	}
	// A write that is on its way now is found by nobody.
	if use, ok := present.Writes(); ok && !next.Has(present) {
		return fmt.Errorf("%w: key %s seals what is written now: put another one before it first, and take it out later", seal.ErrNoKey, use)
	}
	lost, err := c.losesBy(ctx, present, next)
	if err == nil && lost.Objects > 0 {
		err = &seal.LostError{Lost: []seal.Use{lost}}
	}
	return err
}

// losesBy counts what present opens and next does not.
func (c *collection) losesBy(ctx context.Context, present, next *seal.Keyring) (lost seal.Use, err error) {
	r := backend.Range{Start: c.prefix, End: prefixEnd(c.prefix), Limit: sealedPage}
	for {
		p, err := c.page(ctx, r)
		if err != nil {
			return lost, err
		}
		r.Revision = p.Revision
		for _, kv := range p.KVs {
			if _, err := next.Open(kv.Value, kv.Key); err == nil {
				continue
			}
			if _, err := present.Open(kv.Value, kv.Key); err != nil {
				continue // it is lost already
			}
			if lost.Objects++; lost.Objects == 1 {
				lost.Provider, lost.Key, _ = seal.KeyOf(kv.Value)
				lost.Example = string(kv.Key)
			}
		}
		if !p.More {
			return lost, nil
		}
		r.Start = string(p.KVs[len(p.KVs)-1].Key) + "\x00"
	}
}
