package nft

import (
	"cmp"
	"maps"
	"slices"
)

// Installed is what is known to be in the kernel.
type Installed struct {
	Exists bool              // the table is there
	Chains map[string]string // name → digest
	Sets   map[string]InstalledSet
}

// InstalledSet is a set in the kernel.
type InstalledSet struct {
	Spec     string // its text
	Elements map[string]Value
}

// NewInstalled returns "nothing is there".
func NewInstalled() *Installed {
	return &Installed{Chains: map[string]string{}, Sets: map[string]InstalledSet{}}
}

// Changes turns what is installed into what is desired. Fields are in the order in
// which they are applied.
type Changes struct {
	AddTable   bool
	AddSets    []*Set
	AddChains  []*Chain
	DelElems   []Element
	AddElems   []Element
	SetChains  []*Chain // exist with other rules
	DelSets    []string
	DelChains  []string
	wantDigest map[string]string
	setSpecs   map[string]*Set
}

// ElementChanges is a change of the elements of one set that is there already.
func ElementChanges(s *Set, add, del []Element) *Changes {
	return &Changes{AddElems: add, DelElems: del, setSpecs: map[string]*Set{s.Name: s}}
}

// Empty reports whether there is nothing to do.
func (c *Changes) Empty() bool {
	return !c.AddTable && len(c.AddSets)+len(c.AddChains)+len(c.DelElems)+len(c.AddElems)+
		len(c.SetChains)+len(c.DelChains)+len(c.DelSets) == 0
}

// Plan compares what changed since the last Clean.
func (d *Desired) Plan(have *Installed) *Changes {
	if !have.Exists {
		return d.PlanAll(have)
	}
	return d.plan(have, d.dirtySets, d.dirtyChains, d.dirtyElems)
}

// PlanAll compares everything.
func (d *Desired) PlanAll(have *Installed) *Changes {
	sets, chains, elems := map[string]bool{}, map[string]bool{}, map[elemKey]bool{}
	for n := range d.sets {
		sets[n] = true
	}
	for n := range d.chains {
		chains[n] = true
	}
	for set, keys := range d.claims {
		for k := range keys {
			elems[elemKey{set, k}] = true
		}
	}
	for n, s := range have.Sets {
		sets[n] = true
		for k := range s.Elements {
			elems[elemKey{n, k}] = true
		}
	}
	for n := range have.Chains {
		chains[n] = true
	}
	return d.plan(have, sets, chains, elems)
}

func (d *Desired) plan(have *Installed, sets, chains map[string]bool, elems map[elemKey]bool) *Changes {
	c := &Changes{AddTable: !have.Exists, wantDigest: map[string]string{}, setSpecs: map[string]*Set{}}
	for n := range sets {
		_, there := have.Sets[n]
		switch want := d.sets[n]; {
		case want != nil && !there:
			c.AddSets = append(c.AddSets, want)
		case want == nil && there:
			c.DelSets = append(c.DelSets, n)
		}
	}
	for n := range chains {
		digest, there := have.Chains[n]
		want := d.chains[n]
		switch {
		case want == nil && there:
			c.DelChains = append(c.DelChains, n)
		case want == nil:
		case !there:
			c.AddChains = append(c.AddChains, want)
			c.wantDigest[n] = want.digest(d.table.Family)
		default:
			if w := want.digest(d.table.Family); w != digest {
				c.SetChains = append(c.SetChains, want)
				c.wantDigest[n] = w
			}
		}
	}
	for k := range elems {
		d.planElement(c, have, k)
	}
	c.sort()
	return c
}

func (d *Desired) planElement(c *Changes, have *Installed, k elemKey) {
	is, there := have.Sets[k.set].Elements[k.key]
	want, wanted := d.value(k.set, k.key)
	set := d.sets[k.set]
	if set == nil {
		return // goes with its set
	}
	c.setSpecs[k.set] = set
	if there && (!wanted || is != want) {
		c.DelElems = append(c.DelElems, Element{k.set, k.key, is})
	}
	if wanted && (!there || is != want) {
		c.AddElems = append(c.AddElems, Element{k.set, k.key, want})
	}
}

func (c *Changes) sort() {
	byName := func(x, y *Chain) int { return cmp.Compare(x.Name, y.Name) }
	byKey := func(x, y Element) int { return cmp.Or(cmp.Compare(x.Set, y.Set), cmp.Compare(x.Key, y.Key)) }
	slices.SortFunc(c.AddSets, func(x, y *Set) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(c.AddChains, byName)
	slices.SortFunc(c.SetChains, byName)
	slices.SortFunc(c.DelElems, byKey)
	slices.SortFunc(c.AddElems, byKey)
	slices.Sort(c.DelChains)
	slices.Sort(c.DelSets)
}

// Apply does to the model what Kernel.Apply did to the kernel.
func (h *Installed) Apply(c *Changes, f Family) {
	h.Exists = h.Exists || c.AddTable
	for _, s := range c.AddSets {
		h.Sets[s.Name] = InstalledSet{Spec: s.text(f), Elements: map[string]Value{}}
	}
	maps.Copy(h.Chains, c.wantDigest)
	for _, e := range c.DelElems {
		delete(h.Sets[e.Set].Elements, e.Key)
	}
	for _, e := range c.AddElems {
		h.Sets[e.Set].Elements[e.Key] = e.Value
	}
	for _, n := range c.DelChains {
		delete(h.Chains, n)
	}
	for _, n := range c.DelSets {
		delete(h.Sets, n)
	}
}
