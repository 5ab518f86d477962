package store

import "fmt"

// verify panics if the object of e no longer has the content it was stored
// with: somebody changed an object that everybody shares.
func (c *collection) verify(e *Entry) {
	data, err := c.encode(withRevision(e.Object, ""))
	if err != nil || c.store.hash(data) != e.sum {
		panic(fmt.Sprintf("store: shared %s %s of revision %d was changed by a reader, which must make a DeepCopy first (%v)",
			c.res.Name, e.Key.path(), e.Revision, err))
	}
}

func (c *collection) verifyAll() {
	c.snap.Load().tree.Scan(func(e *Entry) bool {
		c.verify(e)
		return true
	})
}
