package store

// Forget drops the encodings of all entries: what nobody reads any more keeps
// only its object. Who reads one makes it again. For quiet times.
func (s *Store) Forget() {
	for _, c := range s.collections() {
		c.snap.Load().tree.Scan(func(e *Entry) bool {
			e.forget()
			return true
		})
		c.mu.Lock()
		for i := range c.ring.n {
			ch := c.ring.at(i).c
			if ch.entry != nil {
				ch.entry.forget()
			}
			if ch.prev != nil {
				ch.prev.forget()
			}
		}
		c.mu.Unlock()
	}
}
