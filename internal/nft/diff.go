package nft

import (
	"cmp"
	"maps"
	"slices"
)

// Installed is what is known to be in the kernel.
type Installed struct {
	Exists    bool // the table is there
	Dormant   bool // somebody switched it off
	Chains    map[string]InstalledChain
	Sets      map[string]InstalledSet
	Strangers []Stranger
}

// InstalledChain is a chain in the kernel.
type InstalledChain struct {
	Hook   string // empty: reached only by jumps; cannot be changed
	Digest string // of its text; empty: not as we write it
}

// InstalledSet is a set in the kernel.
type InstalledSet struct {
	Spec     string // types, flags, size, timeout; cannot be changed
	Elements map[string]Value
}

// Stranger is an object of a kind that we never make (a counter, a flowtable).
type Stranger struct {
	Flowtable bool
	Type      uint32 // of an object
	Name      string
}

// NewInstalled returns "nothing is there".
func NewInstalled() *Installed {
	return &Installed{Chains: map[string]InstalledChain{}, Sets: map[string]InstalledSet{}}
}

// Changes turns what is installed into what is desired. Fields are in the order in
// which they are applied.
type Changes struct {
	AddTable      bool
	Wake          bool // the table is dormant
	AddSets       []*Set
	AddChains     []*Chain
	ReplaceSets   []*Set   // exist with other types or flags
	ReplaceChains []*Chain // exist on another hook
	DelElems      []Element
	AddElems      []Element
	SetChains     []*Chain // exist with other rules, or with rules that use what is replaced
	DelSets       []string
	DelChains     []string
	DelStrangers  []Stranger
	wantChains    map[string]InstalledChain
	setSpecs      map[string]*Set
	replaced      map[string]bool // sets
}

// joins reports whether chains that are new are made part of what packets pass already. They have to be there before
// anything leads to them: a packet that is on its way while a transaction is put in may see the new elements of a map
// and the rules of chains as they were, and those of a new chain were none, so that it falls through.
func (c *Changes) joins() bool {
	return !c.AddTable && len(c.AddChains) > 0 && !slices.ContainsFunc(c.AddChains, func(ch *Chain) bool { return ch.Hook != nil })
}

// ElementChanges is a change of the elements of one set that is there already.
func ElementChanges(s *Set, add, del []Element) *Changes {
	return &Changes{AddElems: add, DelElems: del, setSpecs: map[string]*Set{s.Name: s}}
}

// OneChain is a change that makes one chain and its rules, and the table, whether or not
// they are there; the chain's hook must be what it was.
func OneChain(c *Chain) *Changes {
	return &Changes{AddTable: true, AddChains: []*Chain{{Name: c.Name, Hook: c.Hook}}, SetChains: []*Chain{c}}
}

// NoChain is a change that removes one chain, which must be there.
func NoChain(name string) *Changes { return &Changes{DelChains: []string{name}} }

// Empty reports whether there is nothing to do.
func (c *Changes) Empty() bool {
	return !c.AddTable && !c.Wake && len(c.AddSets)+len(c.AddChains)+len(c.ReplaceSets)+len(c.ReplaceChains)+
		len(c.DelElems)+len(c.AddElems)+len(c.SetChains)+len(c.DelChains)+len(c.DelSets)+len(c.DelStrangers) == 0
}

// replaces says that something must go before what has its name can come.
func (c *Changes) replaces() bool { return len(c.ReplaceSets)+len(c.ReplaceChains) > 0 }

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
	c := &Changes{AddTable: !have.Exists, Wake: have.Dormant, DelStrangers: have.Strangers,
		wantChains: map[string]InstalledChain{}, setSpecs: map[string]*Set{}, replaced: map[string]bool{}}
	for n := range sets {
		d.planSet(c, have, n)
	}
	for n := range chains {
		d.planChain(c, have, n)
	}
	if len(c.replaced) > 0 {
		d.planUsers(c, have, chains)
	}
	for k := range elems {
		if !c.replaced[k.set] {
			d.planElement(c, have, k)
		}
	}
	c.sort()
	return c
}

func (d *Desired) planSet(c *Changes, have *Installed, name string) {
	is, there := have.Sets[name]
	want := d.sets[name]
	switch {
	case want == nil && there:
		c.DelSets = append(c.DelSets, name)
	case want == nil:
	case !there:
		c.AddSets = append(c.AddSets, want)
	case is.Spec != want.spec(d.table.Family):
		c.ReplaceSets = append(c.ReplaceSets, want)
		c.replaced[name], c.setSpecs[name] = true, want
		for k := range d.claims[name] {
			v, _ := d.value(name, k)
			c.AddElems = append(c.AddElems, Element{Set: name, Key: k, Value: v})
		}
	}
}

func (d *Desired) planChain(c *Changes, have *Installed, name string) {
	is, there := have.Chains[name]
	want := d.chains[name]
	if want == nil {
		if there {
			c.DelChains = append(c.DelChains, name)
		}
		return
	}
	w := InstalledChain{Hook: want.Hook.spec(), Digest: want.digest(d.table.Family)}
	switch {
	case w == is:
		return
	case !there:
		c.AddChains = append(c.AddChains, want)
	case w.Hook != is.Hook:
		c.ReplaceChains = append(c.ReplaceChains, want)
	default:
		c.SetChains = append(c.SetChains, want)
	}
	c.wantChains[name] = w
}

// planUsers has the chains written again whose rules hold on to a set that is replaced.
// What the kernel has in a chain is known to be what we want there, or the chain is
// changed anyway.
func (d *Desired) planUsers(c *Changes, have *Installed, looked map[string]bool) {
	for n, want := range d.chains {
		if _, there := have.Chains[n]; !there || c.wantChains[n] != (InstalledChain{}) || !want.usesAny(c.replaced) {
			continue
		}
		if !looked[n] { // it may differ as well
			d.planChain(c, have, n)
		}
		if c.wantChains[n] == (InstalledChain{}) {
			c.SetChains = append(c.SetChains, want)
			c.wantChains[n] = have.Chains[n]
		}
	}
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
		c.DelElems = append(c.DelElems, Element{Set: k.set, Key: k.key, Value: is})
	}
	if wanted && (!there || is != want) {
		c.AddElems = append(c.AddElems, Element{Set: k.set, Key: k.key, Value: want})
	}
}

func (c *Changes) sort() {
	byName := func(x, y *Chain) int { return cmp.Compare(x.Name, y.Name) }
	byKey := func(x, y Element) int { return cmp.Or(cmp.Compare(x.Set, y.Set), cmp.Compare(x.Key, y.Key)) }
	slices.SortFunc(c.AddSets, func(x, y *Set) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(c.AddChains, byName)
	slices.SortFunc(c.SetChains, byName)
	slices.SortFunc(c.ReplaceChains, byName)
	slices.SortFunc(c.ReplaceSets, func(x, y *Set) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(c.DelElems, byKey)
	slices.SortFunc(c.AddElems, byKey)
	slices.Sort(c.DelChains)
	slices.Sort(c.DelSets)
}

// Apply does to the model what Kernel.Apply did to the kernel.
func (h *Installed) Apply(c *Changes, f Family) {
	h.Exists = h.Exists || c.AddTable
	h.Dormant, h.Strangers = false, nil
	for _, s := range slices.Concat(c.AddSets, c.ReplaceSets) {
		h.Sets[s.Name] = InstalledSet{Spec: s.spec(f), Elements: map[string]Value{}}
	}
	maps.Copy(h.Chains, c.wantChains)
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
