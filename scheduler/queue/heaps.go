package queue

// byPriority has the most important, longest waiting pod first.
type byPriority []*Item

func (h byPriority) Len() int { return len(h) }
func (h byPriority) Less(i, j int) bool {
	if a, b := h[i].Pod.Priority(), h[j].Pod.Priority(); a != b {
		return a > b
	}
	return h[i].order < h[j].order
}
func (h byPriority) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *byPriority) Push(x any) {
	it := x.(*Item)
	it.index = len(*h)
	*h = append(*h, it)
}
func (h *byPriority) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}

// byTime has the item whose time is up first in front.
type byTime []*Item

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *byTime) Push(x any) {
	it := x.(*Item)
	it.index = len(*h)
	*h = append(*h, it)
}
func (h *byTime) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
