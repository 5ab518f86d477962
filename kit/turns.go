package kit

// turns are keys that are ready, each group's in the order in which they came. The groups
// that have any take turns, a key each. The zero value is empty.
type turns[K comparable] struct {
	len    int
	groups map[string]*line[K]
	order  line[string] // each group with a key once
}

// push makes a key the last of its group. A group that had none comes after all others.
func (t *turns[K]) push(group string, k K) {
	if t.groups == nil {
		t.groups = map[string]*line[K]{}
	}
	g := t.groups[group]
	if g == nil {
		g = &line[K]{}
		t.groups[group] = g
		t.order.push(group)
	}
	g.push(k)
	t.len++
}

// pop takes the first key of the group whose turn it is. There must be one.
func (t *turns[K]) pop() K {
	group := t.order.pop()
	g := t.groups[group]
	k := g.pop()
	t.len--
	if g.empty() {
		delete(t.groups, group)
	} else {
		t.order.push(group)
	}
	return k
}

// line is first in, first out.
type line[T any] struct{ in []T }

func (l *line[T]) push(v T) { l.in = append(l.in, v) }

func (l *line[T]) pop() T {
	var zero T
	v := l.in[0]
	l.in[0] = zero
	l.in = l.in[1:]
	return v
}

func (l *line[T]) empty() bool { return len(l.in) == 0 }
