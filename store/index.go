package store

import (
	"strings"

	"github.com/tidwall/btree"
)

// indexTree is the collection once more, in the order of an index's values and
// of keys within one. It belongs to a snapshot and is copied like its tree. A
// snapshot of the past has none and is scanned.
type indexTree struct {
	name string
	tree *btree.BTreeG[indexed]
}

// indexed is an entry under its value.
type indexed struct {
	value string
	entry *Entry
}

// indexDegree keeps what a write copies small: an index is read far less than the tree.
const indexDegree = 16

func lessIndexed(a, b indexed) bool {
	if c := strings.Compare(a.value, b.value); c != 0 {
		return c < 0
	}
	return a.entry.Key.compare(b.entry.Key) < 0
}

// reindex makes the index trees of the working tree anew.
func (c *collection) reindex() {
	c.indexes = make([]indexTree, len(c.res.Indexes))
	for i := range c.indexes {
		t := btree.NewBTreeGOptions(lessIndexed, btree.Options{NoLocks: true, Degree: indexDegree})
		value := c.res.Indexes[i].Value
		c.tree.Scan(func(e *Entry) bool {
			t.Set(indexed{value(e.Object), e})
			return true
		})
		c.indexes[i] = indexTree{c.res.Indexes[i].Name, t}
	}
}

// moved puts now (nil: deleted) where prev (nil: created) was.
func (c *collection) moved(prev, now *Entry) {
	for i := range c.indexes {
		value, t := c.res.Indexes[i].Value, c.indexes[i].tree
		var before, after string
		if now != nil {
			after = value(now.Object)
		}
		if prev != nil {
			if before = value(prev.Object); now == nil || before != after {
				t.Delete(indexed{before, prev})
			}
		}
		if now != nil {
			t.Set(indexed{after, now})
		}
	}
}

// snapshot is the working tree and its indexes as they are now.
func (c *collection) snapshot(rev int64) *snapshot {
	s := &snapshot{rev: rev, before: c.replaced, tree: c.tree.Copy(), brokens: c.brokens}
	if len(c.indexes) > 0 {
		s.indexes = make([]indexTree, len(c.indexes))
		for i, x := range c.indexes {
			s.indexes[i] = indexTree{x.name, x.tree.Copy()}
		}
	}
	return s
}

// index finds the tree of an index, or nil.
func (s *snapshot) index(name string) *btree.BTreeG[indexed] {
	for i := range s.indexes {
		if s.indexes[i].name == name {
			return s.indexes[i].tree
		}
	}
	return nil
}

// ascendIndex visits the entries with an index value from a key on, in one
// namespace or in all, in the order of keys.
func ascendIndex(t *btree.BTreeG[indexed], f *Filter, from Key, visit func(*Entry) bool) {
	t.Ascend(indexed{f.IndexValue, &Entry{Key: from}}, func(x indexed) bool {
		if x.value != f.IndexValue || f.Namespace != "" && x.entry.Key.Namespace != f.Namespace {
			return false
		}
		return visit(x.entry)
	})
}
