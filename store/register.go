package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrRemoved: the resource is no longer kept here. It is an ErrClosed.
var ErrRemoved = fmt.Errorf("resource was removed: %w", ErrClosed)

var errTaken = errors.New("name or prefix is taken")

// loopLimit is how long Register and Remove wait for etcd and the loop after Start.
const loopLimit = time.Minute

// Register adds a resource. After Start it loads what etcd holds of it before
// it returns, and nobody finds the collection earlier; when it cannot be loaded,
// the name stays free.
func (s *Store) Register(r Resource) error {
	c, err := s.newCollection(r)
	if err == nil && s.started.Load() {
		err = s.loadLate(c)
	} else if err == nil {
		err = s.list(c)
	}
	if err != nil {
		return fmt.Errorf("store: registering %s: %w", r.Name, err)
	}
	return nil
}

// Remove ends a resource: nobody finds its collection any more, and whoever holds
// it, watches it or waits for a write in it gets ErrRemoved. What etcd has of it
// stays there, and is found again when the resource is registered anew.
func (s *Store) Remove(group, resource string) error {
	take := func(context.Context) error {
		c := s.unlist(name{group, resource})
		if c == nil {
			return ErrNotFound
		}
		c.close()
		s.metrics.forget(&c.res)
		return nil
	}
	if err := s.inLoop(take); err != nil {
		return fmt.Errorf("store: removing %s: %w", resource, err)
	}
	return nil
}

// Replace keeps a resource in another way: once what etcd holds of it is loaded
// as r says, the new collection takes the place of the one of that group and
// name, whose holders get ErrRemoved. With an error the old one lives on.
func (s *Store) Replace(r Resource) error {
	c, err := s.newCollection(r)
	if err == nil {
		err = s.inLoop(func(ctx context.Context) error { return s.replace(ctx, c) })
	}
	if err != nil {
		return fmt.Errorf("store: replacing %s: %w", r.Name, err)
	}
	return nil
}

func (s *Store) replace(ctx context.Context, c *collection) error {
	s.mu.RLock()
	old, at := s.byName[name{c.res.Group, c.res.Name}], s.byPrefix[c.res.Prefix]
	s.mu.RUnlock()
	switch {
	case old == nil:
		return ErrNotFound
	case at != nil && at != old:
		return errTaken
	}
	if s.started.Load() {
		if _, err := c.load(ctx, 0); err != nil {
			return err
		}
	}
	s.mu.Lock()
	delete(s.byPrefix, old.res.Prefix)
	s.putLocked(c)
	s.mu.Unlock()
	old.close()
	return nil
}

// loadLate has the loop load a collection between two batches and make it
// known: it then misses no event and shows no state but etcd's.
func (s *Store) loadLate(c *collection) error {
	s.mu.RLock()
	err := s.freeLocked(c)
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	return s.between(func(ctx context.Context) error {
		if _, err := c.load(ctx, 0); err != nil {
			return err
		}
		return s.list(c)
	})
}

// inLoop does something when no batch is being applied.
func (s *Store) inLoop(do func(context.Context) error) error {
	if s.started.Load() {
		return s.between(do)
	}
	return do(context.Background())
}

// between has the loop do something between two batches.
func (s *Store) between(do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), loopLimit)
	defer cancel()
	result := make(chan error, 1)
	request := func(run context.Context) {
		defer context.AfterFunc(run, cancel)()
		if ctx.Err() != nil {
			return // nobody waits any more
		}
		result <- do(ctx)
	}
	select {
	case s.requests <- request:
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: nothing came from it in time", ErrDown)
	}
	if interrupt := s.interrupt.Load(); interrupt != nil {
		(*interrupt)()
	}
	select {
	case err := <-result:
		return err
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: nothing came from it in time", ErrDown)
	}
}

// list makes a collection known by name and prefix.
func (s *Store) list(c *collection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.freeLocked(c); err != nil {
		return err
	}
	s.putLocked(c)
	return nil
}

func (s *Store) putLocked(c *collection) {
	s.byName[name{c.res.Group, c.res.Name}], s.byPrefix[c.res.Prefix] = c, c
	s.depth = max(s.depth, strings.Count(c.res.Prefix, "/")+1)
}

// unlist is the opposite of list; nil when nothing has the name.
func (s *Store) unlist(n name) *collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byName[n]
	if c != nil {
		delete(s.byName, n)
		delete(s.byPrefix, c.res.Prefix)
	}
	return c
}

// freeLocked says whether nobody has the name or the prefix of c.
func (s *Store) freeLocked(c *collection) error {
	if s.byName[name{c.res.Group, c.res.Name}] != nil || s.byPrefix[c.res.Prefix] != nil {
		return errTaken
	}
	return nil
}

// over is why the collection answers no more, nil while it does.
func (c *collection) over() error {
	select {
	case <-c.ended:
	default:
		return nil
	}
	select {
	case <-c.store.closed:
		return ErrClosed
	default:
		return ErrRemoved
	}
}

// fresh waits until the snapshot is as new as f demands.
func (c *collection) fresh(ctx context.Context, f Freshness) error {
	if err := c.store.fresh(ctx, f); err != nil {
		return err
	}
	return c.over()
}
