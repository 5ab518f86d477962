package store

import "fmt"

// seen notes what the object of an entry that was read encodes to: with its
// defaults, or written by others, that may differ from the stored bytes.
func (c *collection) seen(e *Entry) error {
	data, err := c.encode(withRevision(e.Object, ""))
	if err != nil {
		return err
	}
	e.shape = c.store.hash(data)
	return nil
}

// verify panics if the object of e no longer has the content it was stored
// with: somebody changed an object that everybody shares.
func (c *collection) verify(e *Entry) {
	data, err := c.encode(withRevision(e.Object, ""))
	want := e.sum
	if e.shape != 0 {
		want = e.shape
	}
	if err != nil || c.store.hash(data) != want {
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
