package registry

import (
	"sync"
	"sync/atomic"
)

// Derived is something that is worked out from the table, when it is asked for
// and only when the table has changed. Asking costs two loads when it has not.
type Derived[T any] struct {
	r    *Registry
	make func(t *Table, before T) (T, error)
	mu   sync.Mutex // held while it is worked out
	at   atomic.Pointer[derivation[T]]
}

type derivation[T any] struct {
	from  *Table
	value T
}

// Derive makes one. make gets what it gave for the table before (zero at first)
// and may take parts of it over, but must not change it. What fails is tried
// again by the next who asks.
func Derive[T any](r *Registry, make func(t *Table, before T) (T, error)) *Derived[T] {
	d := &Derived[T]{r: r, make: make}
	d.at.Store(&derivation[T]{})
	return d
}

// Get is the value for the present table.
func (d *Derived[T]) Get() (T, error) {
	if now := d.at.Load(); now.from == d.r.Table() {
		return now.value, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, now := d.r.Table(), d.at.Load()
	if now.from == t {
		return now.value, nil
	}
	value, err := d.make(t, now.value)
	if err != nil {
		return value, err
	}
	d.at.Store(&derivation[T]{t, value})
	return value, nil
}
