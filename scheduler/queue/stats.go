package queue

// Stats are the sizes of the parts, and for parked pods how many each plugin refused.
type Stats struct {
	Active, Backoff, Unschedulable int
	ByPlugin                       map[string]int
}

// Stats counts.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{Active: len(q.active), ByPlugin: map[string]int{}}
	for _, it := range q.timed {
		if it.place == backing {
			s.Backoff++
		} else {
			s.Unschedulable++
		}
		for _, name := range it.rejected {
			s.ByPlugin[name]++
		}
	}
	return s
}

// Idle reports whether no pod is ready to be tried.
func (q *Queue) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.active) == 0
}
