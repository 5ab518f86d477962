package garbage

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

func object(uid string, owners []string, finalizers []string, deleting bool) (identity, *metav1.PartialObjectMetadata) {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: uid, Namespace: "n", UID: types.UID(uid), Finalizers: finalizers}}
	for _, w := range owners {
		owner, blocking := strings.CutSuffix(w, "!")
		owner, name, wrongly := strings.Cut(owner, "=")
		if !wrongly {
			name = owner
		}
		o.OwnerReferences = append(o.OwnerReferences, metav1.OwnerReference{
			APIVersion: "v1", Kind: "Thing", Name: name, UID: types.UID(owner), BlockOwnerDeletion: &blocking})
	}
	if deleting {
		now := metav1.Now()
		o.DeletionTimestamp = &now
	}
	return identity{schema.GroupVersionResource{Version: "v1", Resource: "things"}, schema.GroupKind{Kind: "Thing"}, "n", uid, types.UID(uid)}, o
}

// TestScenarios runs testdata. Commands:
//
//	see uid [owners=(a,b!)] [finalizers=(f,…)] [deleting] [ns=x]
//	                                                        an object's newest state; shows who wants a look. a! is blocked by its dependent,
//	                                                        a=b has the UID of a and the name of b
//	lose uid                                                an object is gone
//	look uid [absent=(a,…)]                                 what to do; owners not in the graph exist unless absent
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		g := newGraph()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			uid := d.CmdArgs[0].Key
			vals := func(key string) []string {
				for _, a := range d.CmdArgs {
					if a.Key == key {
						return a.Vals
					}
				}
				return nil
			}
			switch d.Cmd {
			case "see":
				id, o := object(uid, vals("owners"), vals("finalizers"), d.HasArg("deleting"))
				if ns := vals("ns"); ns != nil {
					id.namespace, o.Namespace = ns[0], ns[0]
				}
				return fmt.Sprintln("look at:", sorted(g.see(id, o)))
			case "lose":
				return fmt.Sprintln("look at:", sorted(g.lose(types.UID(uid))))
			case "look":
				f, ok := g.factsOf(types.UID(uid))
				if !ok {
					return "not there\n"
				}
				for i := range f.owners {
					if f.owners[i].state == unknown {
						f.owners[i].state = solid
						if slices.Contains(vals("absent"), string(f.owners[i].ref.UID)) {
							f.owners[i].state = absent
							g.missed(placeOf(f.namespace, f.owners[i].ref))
						}
					}
				}
				elsewhere := ""
				for _, o := range f.owners {
					if o.elsewhere != "" {
						elsewhere += fmt.Sprintf("%s is in %s\n", o.ref.UID, o.elsewhere)
					}
				}
				return elsewhere + draw(planFor(f))
			}
			return "unknown command"
		})
	})
}

func sorted(uids []types.UID) []types.UID {
	slices.Sort(uids)
	return slices.Compact(uids)
}

func draw(p plan) string {
	var b strings.Builder
	names := func(ds []dependentFact) []types.UID {
		var out []types.UID
		for _, d := range ds {
			out = append(out, d.uid)
		}
		return sorted(out)
	}
	if len(p.orphan) > 0 {
		fmt.Fprintln(&b, "orphan", names(p.orphan))
	}
	if len(p.unblock) > 0 {
		fmt.Fprintln(&b, "unblock", names(p.unblock))
	}
	if len(p.look) > 0 {
		fmt.Fprintln(&b, "look at", sorted(p.look))
	}
	if len(p.dropOwners) > 0 {
		fmt.Fprintln(&b, "drop owners", sorted(p.dropOwners))
	}
	if p.release != "" {
		fmt.Fprintln(&b, "release", p.release)
	}
	if p.remove != "" {
		fmt.Fprintln(&b, "delete", p.remove)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// TestEverythingUnownedGoes checks the graph against the obvious: whatever order events come in, what is left in
// the end is what is reachable from objects without owners.
func TestEverythingUnownedGoes(t *testing.T) {
	for seed := range int64(300) {
		r := rand.New(rand.NewSource(seed))
		n := 2 + r.Intn(12)
		owners := make([][]string, n)
		for i := 1; i < n; i++ { // of lower numbers only: no circles
			for range r.Intn(3) {
				if o := fmt.Sprint(r.Intn(i)); !slices.Contains(owners[i], o) {
					owners[i] = append(owners[i], o)
				}
			}
		}
		alive := map[string]bool{}
		g := newGraph()
		var queue []types.UID
		for _, i := range r.Perm(n) {
			alive[fmt.Sprint(i)] = true
			queue = append(queue, g.see(object(fmt.Sprint(i), owners[i], nil, false))...)
		}
		for range 1 + r.Intn(2) { // the user
			u := fmt.Sprint(r.Intn(n))
			delete(alive, u)
			queue = append(queue, g.lose(types.UID(u))...)
		}
		for len(queue) > 0 {
			at := r.Intn(len(queue))
			uid := queue[at]
			queue = slices.Delete(queue, at, at+1)
			f, ok := g.factsOf(uid)
			if !ok {
				continue
			}
			for i := range f.owners {
				if f.owners[i].state == unknown {
					f.owners[i].state = map[bool]ownerState{true: solid, false: absent}[alive[string(f.owners[i].ref.UID)]]
				}
			}
			switch p := planFor(f); {
			case p.remove != "":
				delete(alive, string(uid))
				queue = append(queue, g.lose(uid)...)
			case len(p.dropOwners) > 0:
				i := int(0)
				fmt.Sscan(string(uid), &i)
				owners[i] = slices.DeleteFunc(owners[i], func(o string) bool { return slices.Contains(p.dropOwners, types.UID(o)) })
				queue = append(queue, g.see(object(string(uid), owners[i], nil, false))...)
			}
		}
		for i := range n {
			if !alive[fmt.Sprint(i)] {
				continue
			}
			for _, o := range owners[i] {
				if !alive[o] {
					t.Fatalf("seed %d: %d still names %s, which is gone", seed, i, o)
				}
			}
		}
		if len(g.nodes) != len(alive) {
			t.Fatalf("seed %d: the graph holds %d nodes for %d objects", seed, len(g.nodes), len(alive))
		}
	}
}
