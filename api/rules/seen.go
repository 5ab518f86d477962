package rules

// Seen is what a list had so far. Lists from outside may have bounds.Items members:
// comparing each with all before it would keep a core busy for minutes, and telling of
// every pair would fill the memory.
type Seen[K comparable] map[K]struct{}

// Again remembers k and says whether it was there before.
func (s Seen[K]) Again(k K) bool {
	_, was := s[k]
	s[k] = struct{}{}
	return was
}

// Has says whether k was there.
func (s Seen[K]) Has(k K) bool {
	_, was := s[k]
	return was
}
