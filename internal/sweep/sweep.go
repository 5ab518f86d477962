// Package sweep decides what left-over things may be removed. It is pure.
//
//	look ─▶ suspects (held, but nobody seems to use them)
//	          │ each look adds to the time that a suspect was seen as one
//	          ▼
//	        gone, once that time is longer than the longest creation
//
// A thing that is being made looks like one that was left over: it is held before anybody
// uses it. So nothing goes by what one look says. The time between two looks counts up to
// a limit only, so that a process that was stopped for long (a laptop that slept, while
// what made the thing slept too) has to look several times all the same. One look that
// sees the thing in use, or held anew, starts over. What is seen is not kept over a
// restart: that starts over too.
package sweep

import "time"

// Suspect names a thing that seems to be left over. Since changes when the thing is made
// anew under its name. It is one of the types that a Sweeper can be of.
type Suspect struct{ Kind, Name, Since string }

// Sweeper remembers suspects between looks. After and Every are needed. One thing and
// another made anew in its place must not be equal.
type Sweeper[T comparable] struct {
	After time.Duration // how long a suspect must be one: longer than the longest creation
	Every time.Duration // how much the time between two looks counts at most

	seen map[T]time.Duration
	last time.Time
}

// Look takes everything that one look at now suspects and returns what may go, in the same
// order. What could not be removed is suspected again by the next look, and returned again.
func (s *Sweeper[T]) Look(now time.Time, suspects []T) []T {
	passed := time.Duration(0)
	if !s.last.IsZero() {
		passed = min(max(now.Sub(s.last), 0), s.Every)
	}
	s.last = now
	seen := make(map[T]time.Duration, len(suspects))
	var gone []T
	for _, x := range suspects {
		if _, twice := seen[x]; twice {
			continue
		}
		age, before := s.seen[x]
		if before {
			age += passed
		}
		seen[x] = age
		if before && age >= s.After {
			gone = append(gone, x)
		}
	}
	s.seen = seen
	return gone
}

// Suspects is how many things the last look suspected.
func (s *Sweeper[T]) Suspects() int { return len(s.seen) }
