package atomic

import (
	"fmt"
	"sync"

	"hyperkube/internal/bounds"
)

// Budget is what the files of one pod's volumes may still take. Items can name one key many times and sources one
// object: what they become is counted while it is put together, before anything is written.
type Budget struct {
	mu           sync.Mutex
	bytes, files int64
}

// NewBudget returns the budget of a pod.
func NewBudget() *Budget { return &Budget{bytes: bounds.PodFiles, files: bounds.PodFileCount} }

// Take uses up one file of that size.
func (b *Budget) Take(size int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= int64(size)
	b.files--
	if b.bytes < 0 || b.files < 0 {
		b.bytes, b.files = min(b.bytes, 0), min(b.files, 0)
		return fmt.Errorf("the pod's config maps, secrets, tokens and downward API files are more than %d bytes or %d files", bounds.PodFiles, bounds.PodFileCount)
	}
	return nil
}
