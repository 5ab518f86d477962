package nft

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxBatchBytes is how large one transaction gets.
const maxBatchBytes = 2 << 20

// Kernel is one table in the network namespace that the calling thread was in when
// Open was called. Its methods may be called from any goroutine.
type Kernel struct {
	table Table
	mu    sync.Mutex
	sock  *socket
	ear   *socket // hears of changes while the table is read
	names *anonymousNames
}

// Open opens a connection to the kernel for one table. The table need not exist.
func Open(t Table) (*Kernel, error) {
	s, err := openSocket(0)
	if err != nil {
		return nil, err
	}
	ear, err := openSocket(0)
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return &Kernel{table: t, sock: s, ear: ear, names: newAnonymousNames()}, nil
}

// Close ends the connection; the table stays.
func (k *Kernel) Close() error { return errors.Join(k.sock.file.Close(), k.ear.file.Close()) }

func (k *Kernel) newBatch() *batch {
	b := newBatch(k.table)
	b.names = k.names
	return b
}

// Table is the table's name.
func (k *Kernel) Table() Table { return k.table }

// Delete removes the table; it is no error if there is none.
func (k *Kernel) Delete() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := newBatch(k.table)
	b.delTable()
	if err := k.sock.transact(b); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("deleting table %s: %w", k.table, err)
	}
	return nil
}

// Apply sends the changes. After an error the table may be in between: Read it.
func (k *Kernel) Apply(c *Changes) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := &writer{kernel: k, batch: k.newBatch()}
	w.create(c)
	if c.joins() {
		w.flush()
	}
	if c.replaces() {
		w.replace(c)
	} else {
		w.switchOver(c)
		w.remove(c)
	}
	w.flush()
	if w.err != nil {
		return fmt.Errorf("changing table %s: %w", k.table, w.err)
	}
	return nil
}

// writer cuts changes into batches at the places where it calls cut.
type writer struct {
	kernel *Kernel
	batch  *batch
	steps  int
	whole  bool // no more cuts
	err    error
}

func (w *writer) cut() {
	w.steps++
	if len(w.batch.buf) >= maxBatchBytes && !w.whole {
		w.flush()
	}
}

func (w *writer) flush() {
	if w.err == nil && w.steps > 0 {
		w.err = w.kernel.sock.transact(w.batch)
	}
	w.batch, w.steps = w.kernel.newBatch(), 0
}

func (w *writer) create(c *Changes) {
	if c.AddTable {
		w.batch.addTable()
		w.cut()
	}
	if c.Wake {
		w.batch.wakeTable()
		w.cut()
	}
	for _, s := range c.AddSets {
		w.batch.addSet(s)
		w.cut()
	}
	for _, hooked := range []bool{false, true} { // base chains last: they start to act at once
		for _, ch := range c.AddChains {
			if (ch.Hook != nil) == hooked {
				w.batch.addChain(ch)
				w.cut()
			}
		}
	}
	for _, ch := range c.AddChains {
		if !ch.usesAny(c.replaced) {
			w.batch.addRules(ch)
			w.cut()
		}
	}
}

// replace does everything that create did not, in one transaction: a set or a hook
// cannot be changed in place, and what it is replaced by has its name, so whoever uses it
// must let go of it first and take hold of it again before a packet sees that.
func (w *writer) replace(c *Changes) {
	w.whole = true
	w.steps++
	b := w.batch
	for _, ch := range slices.Concat(c.SetChains, c.ReplaceChains) {
		b.flushChain(ch.Name)
	}
	for _, n := range c.DelChains {
		b.flushChain(n)
	}
	w.elements(unix.NFT_MSG_DELSETELEM, c, c.DelElems, false)
	for _, n := range c.DelSets {
		b.delSet(n)
	}
	for _, s := range c.ReplaceSets {
		b.delSet(s.Name)
	}
	for _, n := range c.DelChains {
		b.delChain(n)
	}
	for _, ch := range c.ReplaceChains {
		b.delChain(ch.Name)
	}
	for _, s := range c.ReplaceSets {
		b.addSet(s)
	}
	for _, ch := range c.ReplaceChains {
		b.addChain(ch)
	}
	for _, ch := range slices.Concat(c.SetChains, c.ReplaceChains) {
		b.addRules(ch)
	}
	for _, ch := range c.AddChains {
		if ch.usesAny(c.replaced) {
			b.addRules(ch)
		}
	}
	w.elements(unix.NFT_MSG_NEWSETELEM, c, c.AddElems, false)
	for _, s := range c.DelStrangers {
		b.delStranger(s)
	}
}

// switchOver changes what existing rules and maps point to. A key's old and new
// value are always in one transaction.
func (w *writer) switchOver(c *Changes) {
	for _, ch := range c.SetChains {
		w.batch.flushChain(ch.Name)
		w.batch.addRules(ch)
		w.cut()
	}
	adds := c.AddElems
	replaced := map[elemKey]bool{}
	for _, e := range adds {
		replaced[elemKey{e.Set, e.Key}] = true
	}
	var dels, moved []Element
	for _, e := range c.DelElems {
		if replaced[elemKey{e.Set, e.Key}] {
			moved = append(moved, e)
		} else {
			dels = append(dels, e)
		}
	}
	if len(moved) > 0 {
		changed := map[elemKey]bool{}
		for _, e := range moved {
			changed[elemKey{e.Set, e.Key}] = true
		}
		isMoved := func(e Element) bool { return changed[elemKey{e.Set, e.Key}] }
		both := slices.DeleteFunc(slices.Clone(adds), func(e Element) bool { return !isMoved(e) })
		for len(moved) > 0 {
			n := min(len(moved), 500)
			w.elements(unix.NFT_MSG_DELSETELEM, c, moved[:n], false)
			w.elements(unix.NFT_MSG_NEWSETELEM, c, both[:n], false)
			w.cut()
			moved, both = moved[n:], both[n:]
		}
		adds = slices.DeleteFunc(slices.Clone(adds), isMoved)
	}
	w.elements(unix.NFT_MSG_NEWSETELEM, c, adds, true)
	w.elements(unix.NFT_MSG_DELSETELEM, c, dels, true)
}

// elements sends elements, which are sorted by set, some hundreds at a time.
func (w *writer) elements(msg uint16, c *Changes, elems []Element, mayCut bool) {
	for len(elems) > 0 {
		n := 1
		for n < len(elems) && n < 500 && elems[n].Set == elems[0].Set {
			n++
		}
		w.batch.elements(msg, c.setSpecs[elems[0].Set], 0, elems[:n])
		if mayCut {
			w.cut()
		}
		elems = elems[n:]
	}
}

func (w *writer) remove(c *Changes) {
	for _, n := range c.DelChains {
		w.batch.flushChain(n)
		w.cut()
	}
	for _, n := range c.DelSets { // their elements may point to the chains
		w.batch.delSet(n)
		w.cut()
	}
	for _, n := range c.DelChains {
		w.batch.delChain(n)
		w.cut()
	}
	for _, s := range c.DelStrangers {
		w.batch.delStranger(s)
		w.cut()
	}
}
