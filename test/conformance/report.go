package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// report collects results.
type report struct {
	entries []entry
	mu      sync.Mutex
	results []result
}

type result struct {
	entry
	passed bool
	took   time.Duration
}

func newReport(entries []entry) *report { return &report{entries: entries} }

func (r *report) add(e entry, passed bool, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result{e, passed, took})
}

// String has a line per behaviour and ends with the sum.
func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.results, func(a, b result) int { return strings.Compare(a.Code, b.Code) })
	var b strings.Builder
	passed := 0
	for _, x := range r.results {
		word := "FAILED"
		if x.passed {
			word, passed = "passed", passed+1
		}
		fmt.Fprintf(&b, "%s %6.1fs  %s\n", word, x.took.Seconds(), x.Name)
	}
	fmt.Fprintf(&b, "covered %d / passed %d / of %d\n", len(r.results), passed, len(r.entries))
	return b.String()
}
