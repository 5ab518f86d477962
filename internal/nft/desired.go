package nft

import (
	"cmp"
	"slices"
	"strings"
)

// Desired is what a table should hold: the union of its owners' fragments.
// Chains and sets have one owner. An element may be claimed by several; the owner
// that is first by name has it and the next one takes over when it lets go.
// It is not safe for concurrent use.
type Desired struct {
	table  Table
	owners map[string]*Fragment
	chains map[string]*Chain
	sets   map[string]*Set
	claims map[string]map[string][]claim // by set, by key; who has it first

	dirtyChains map[string]bool
	dirtySets   map[string]bool
	dirtyElems  map[elemKey]bool
}

type claim struct {
	owner string
	rank  string
	value Value
}

func (c claim) compare(o claim) int {
	return cmp.Or(strings.Compare(c.rank, o.rank), strings.Compare(c.owner, o.owner))
}

type elemKey struct{ set, key string }

// NewDesired returns an empty table.
func NewDesired(t Table) *Desired {
	d := &Desired{table: t, owners: map[string]*Fragment{}, chains: map[string]*Chain{},
		sets: map[string]*Set{}, claims: map[string]map[string][]claim{}}
	d.Clean()
	return d
}

// Table is the table's name.
func (d *Desired) Table() Table { return d.table }

// Clean forgets what changed since the last Clean.
func (d *Desired) Clean() {
	d.dirtyChains, d.dirtySets, d.dirtyElems = map[string]bool{}, map[string]bool{}, map[elemKey]bool{}
}

// Owners returns how many owners have a fragment.
func (d *Desired) Owners() int { return len(d.owners) }

// Owns reports whether owner has a fragment.
func (d *Desired) Owns(owner string) bool { return d.owners[owner] != nil }

// Put replaces the fragment of an owner; nil removes it.
func (d *Desired) Put(owner string, f *Fragment) {
	if old := d.owners[owner]; old != nil {
		d.remove(owner, old)
	}
	if f == nil {
		delete(d.owners, owner)
		return
	}
	d.owners[owner] = f
	for i := range f.Sets {
		d.sets[f.Sets[i].Name] = &f.Sets[i]
		d.dirtySets[f.Sets[i].Name] = true
	}
	for i := range f.Chains {
		d.chains[f.Chains[i].Name] = &f.Chains[i]
		d.dirtyChains[f.Chains[i].Name] = true
	}
	for _, e := range f.Elements {
		d.claim(owner, e)
	}
}

func (d *Desired) remove(owner string, f *Fragment) {
	for i := range f.Sets {
		delete(d.sets, f.Sets[i].Name)
		d.dirtySets[f.Sets[i].Name] = true
	}
	for i := range f.Chains {
		delete(d.chains, f.Chains[i].Name)
		d.dirtyChains[f.Chains[i].Name] = true
	}
	for _, e := range f.Elements {
		keys := d.claims[e.Set]
		left := slices.DeleteFunc(keys[e.Key], func(c claim) bool { return c.owner == owner })
		if len(left) == 0 {
			delete(keys, e.Key)
		} else {
			keys[e.Key] = left
		}
		d.dirtyElems[elemKey{e.Set, e.Key}] = true
	}
}

func (d *Desired) claim(owner string, e Element) {
	keys := d.claims[e.Set]
	if keys == nil {
		keys = map[string][]claim{}
		d.claims[e.Set] = keys
	}
	// An owner that says it twice means the last.
	list := slices.DeleteFunc(keys[e.Key], func(c claim) bool { return c.owner == owner })
	mine := claim{owner, e.Rank, e.Value}
	at, _ := slices.BinarySearchFunc(list, mine, claim.compare)
	keys[e.Key] = slices.Insert(list, at, mine)
	d.dirtyElems[elemKey{e.Set, e.Key}] = true
}

// value is who has a key.
func (d *Desired) value(set, key string) (Value, bool) {
	list := d.claims[set][key]
	if len(list) == 0 {
		return Value{}, false
	}
	return list[0].value, true
}
