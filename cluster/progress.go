package cluster

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress is told of each stage when it is done.
type Progress func(stage string, took time.Duration)

// Printer writes a line per stage with its time.
func Printer(w io.Writer) Progress {
	var mu sync.Mutex
	return func(stage string, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "  %-52s %6.2fs\n", stage, took.Seconds())
	}
}

// timed runs f and reports it.
func (p Progress) timed(stage string, f func() error) error {
	began := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", stage, err)
	}
	p(stage, time.Since(began))
	return nil
}
