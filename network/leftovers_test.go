package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hyperkube/internal/netns"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
	"hyperkube/network/ipam"
)

var podRange = netip.MustParsePrefix("10.77.3.0/24")

// TestSuspects shows every answer of one look.
func TestSuspects(t *testing.T) {
	owner := func(id string) ipam.Owner { return ipam.Owner{Container: id, Interface: "eth0"} }
	held := func(id string, inFlight bool, netns string) *cni.Held {
		h := &cni.Held{Owner: owner(id), Link: bridge.PortName(id, "eth0"), InFlight: inFlight, Since: "1"}
		if netns != "" {
			h.Note = &cni.Attachment{Owner: h.Owner, Netns: "/run/netns/" + netns}
		}
		return h
	}
	none := map[string]bool{}
	for name, tc := range map[string]struct {
		held  *cni.Held
		known map[string]bool
		link  bool
		file  nsFile // /run/netns/cni-1 if it has a path
		want  []string
	}{
		"known":                            {held: held("a", false, ""), known: map[string]bool{"a": true}, link: true},
		"known, link gone":                 {held: held("a", false, ""), known: map[string]bool{"a": true}},
		"unknown, linked":                  {held: held("a", false, ""), known: none, link: true, want: []string{"a/eth0"}},
		"unknown, link gone":               {held: held("a", false, ""), known: none, want: []string{"a/eth0"}},
		"unknown, in flight":               {held: held("a", true, ""), known: none, link: true},
		"in flight, not linked yet":        {held: held("a", true, ""), known: none},
		"nobody to ask, linked":            {held: held("a", false, ""), link: true},
		"nobody to ask, link gone":         {held: held("a", false, ""), want: []string{"a/eth0"}},
		"nobody to ask, in flight":         {held: held("a", true, "")},
		"namespace of a known one":         {held: held("a", false, "cni-1"), known: map[string]bool{"a": true}, file: nsFile{mounted: true}},
		"namespace in flight, not mounted": {held: held("a", true, "cni-1"), known: none, file: nsFile{}},
		"namespace of an unknown one":      {held: held("a", false, "cni-1"), known: none, file: nsFile{mounted: true}, want: []string{"a/eth0", "/run/netns/cni-1"}},
		"namespace with processes":         {held: held("a", false, "cni-1"), known: none, file: nsFile{mounted: true, used: true}, want: []string{"a/eth0"}},
		"namespace of nobody":              {held: held("a", true, "cni-2"), known: none, file: nsFile{mounted: true}, want: []string{"/run/netns/cni-1"}},
		"namespace of nobody, not mounted": {held: held("a", true, "cni-2"), file: nsFile{}, want: []string{"/run/netns/cni-1"}},
		"mounted, nobody to ask":           {held: held("a", true, "cni-2"), file: nsFile{mounted: true}},
	} {
		v := view{held: map[ipam.Owner]*cni.Held{tc.held.Owner: tc.held}, known: tc.known, links: map[string]bool{tc.held.Link: tc.link}}
		if name[:3] == "nam" || name[:3] == "mou" {
			tc.file.path, tc.file.since = "/run/netns/cni-1", "1"
			v.files = []nsFile{tc.file}
		}
		var got []string
		for _, s := range v.suspects() {
			got = append(got, s.Name)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: want (-), got (+)\n%s", name, diff)
		}
	}
}

// runtimeFake is what the runtime says of its sandboxes.
type runtimeFake struct {
	mu    sync.Mutex
	known map[string]bool
	looks int
	err   error
}

func (r *runtimeFake) sandboxes(context.Context) (map[string]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	out := map[string]bool{}
	for id := range r.known {
		out[id] = true
	}
	return out, r.err
}

func (r *runtimeFake) set(known ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = map[string]bool{}
	for _, id := range known {
		r.known[id] = true
	}
}

// after waits for some more looks.
func (r *runtimeFake) after(t *testing.T, looks int) {
	t.Helper()
	r.mu.Lock()
	until := r.looks + looks
	r.mu.Unlock()
	eventually(t, "looking", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.looks < until {
			return fmt.Errorf("%d looks of %d", r.looks, until)
		}
		return nil
	})
}

func (a *testAgent) holds() []string {
	a.t.Helper()
	held, err := ipam.Peek(cni.AddressDir(a.o.StateDir))
	if err != nil {
		a.t.Fatal(err)
	}
	var out []string
	for _, o := range held {
		out = append(out, o.Container)
	}
	slices.Sort(out)
	return out
}

// TestSlowCreationKeepsItsAddress makes a sandbox far more slowly than leftovers are looked
// for: ADD takes long, then the runtime takes long to list it. A sandbox that was left
// over meanwhile goes.
func TestSlowCreationKeepsItsAddress(t *testing.T) {
	r := &runtimeFake{}
	a := startAgent(t, func(o *Options) { o.Sandboxes = r.sandboxes }, func(n *Network) {
		quick(n)
		n.left.sweeper.After = 15 * n.left.sweeper.Every // "longer than the longest creation"
	})
	release := holdAdd(t, a.o.StateDir, "slow")
	r.after(t, 40) // ADD takes longer than anything is suspected for
	if got := a.holds(); !slices.Equal(got, []string{"slow"}) {
		t.Fatalf("held %v while ADD is at work", got)
	}
	release()
	r.after(t, 5) // ADD is done, the runtime has not listed the sandbox yet
	r.set("slow")
	r.after(t, 40)
	if got := a.holds(); !slices.Equal(got, []string{"slow"}) {
		t.Fatalf("held %v after a slow creation", got)
	}
	r.set() // its runtime forgot it
	r.after(t, 5)
	if got := a.holds(); !slices.Equal(got, []string{"slow"}) {
		t.Errorf("held %v: gone by what one look said", got)
	}
	eventually(t, "freeing", func() error {
		if got := a.holds(); len(got) != 0 {
			return fmt.Errorf("held %v", got)
		}
		return nil
	})
}

// TestLeftoversGoWhole: address, link, host ports, note and namespace of a sandbox that the
// runtime does not know; those of one that it knows stay. A runtime that cannot be asked
// stops nothing else.
func TestLeftoversGoWhole(t *testing.T) {
	r := &runtimeFake{err: errors.New("runtime is gone")}
	dir := t.TempDir()
	a := startAgent(t, func(o *Options) { o.Sandboxes, o.NetnsDir = r.sandboxes, dir }, quick)
	r.set("good")
	file := map[string]string{}
	for _, id := range []string{"good", "bad"} {
		file[id] = mountedAs(t, namespace(t), filepath.Join(dir, cni.NetnsPrefix+id))
		joinWith(t, a.ns, file[id], a.o, id, len(id))
	}
	empty := filepath.Join(dir, cni.NetnsPrefix+"empty")
	foreign := filepath.Join(dir, "foreign")
	for _, f := range []string{empty, foreign} {
		if err := os.WriteFile(f, nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	r.after(t, 10)
	if got := a.holds(); !slices.Equal(got, []string{"bad", "good"}) {
		t.Errorf("held %v while nobody can say what is in use", got)
	}
	r.mu.Lock()
	r.err = nil
	r.mu.Unlock()
	eventually(t, "removing", func() error {
		ports, err := cni.ReadPorts(a.o.StateDir)
		if err != nil {
			return err
		}
		notes, err := cni.ReadAttachments(a.o.StateDir)
		if err != nil {
			return err
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		if held := a.holds(); !slices.Equal(held, []string{"good"}) || len(ports) != 1 || len(notes) != 1 || len(entries) != 2 {
			return fmt.Errorf("held %v, ports %v, notes %v, files %v", held, ports, notes, entries)
		}
		return a.ns.Do(func() error {
			if there, err := linkThere(bridge.PortName("bad", "eth0")); err != nil || there {
				return fmt.Errorf("link is there: %w", err)
			}
			return nil
		})
	})
	if !a.linked("good") {
		t.Error("the good one is dead")
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	a.stop()
	in(t, a.ns, func() error { return Reset(t.Context(), a.o) })
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("after reset: %v, %v", entries, err)
	}
}

// TestNotedNamespacesGo: files outside of our own directory are ours when the plugin was
// called with them.
func TestNotedNamespacesGo(t *testing.T) {
	r := &runtimeFake{}
	a := startAgent(t, func(o *Options) { o.Sandboxes = r.sandboxes }, quick)
	shared := t.TempDir()
	r.set("a", "b")
	one, two := mountedAs(t, namespace(t), filepath.Join(shared, "cni-1")), mountedAs(t, namespace(t), filepath.Join(shared, "cni-2"))
	joinAt(t, a.ns, one, a.o, "a")
	joinAt(t, a.ns, two, a.o, "b")
	theirs := filepath.Join(shared, "cni-3")
	if err := os.WriteFile(theirs, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	leave(t, a.ns, one, a.o, "a")
	r.set("b")
	eventually(t, "removing", func() error {
		if _, err := os.Stat(one); err == nil {
			return errors.New("the file is there")
		}
		return nil
	})
	for _, f := range []string{two, theirs} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	a.stop()
	in(t, a.ns, func() error { return Reset(t.Context(), a.o) })
	if entries, err := os.ReadDir(shared); err != nil || len(entries) != 1 || entries[0].Name() != "cni-3" {
		t.Errorf("after reset: %v, %v", entries, err)
	}
}

func mountedAs(t *testing.T, ns *netns.NS, file string) string {
	t.Helper()
	mountAt(t, ns, file)
	return file
}
