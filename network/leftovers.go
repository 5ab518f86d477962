package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hyperkube/internal/dump"
	"hyperkube/internal/netns"
	"hyperkube/internal/sweep"
	"hyperkube/network/cni"
	"hyperkube/network/ipam"
)

const (
	// longestCreation is longer than making a pod's sandbox takes on the busiest node: the
	// runtime lists a sandbox only when it is done, and kubelets give up after four minutes.
	longestCreation = 10 * time.Minute
	// lookAgain is how often leftovers are looked for: the runtime may have been killed
	// alone, without this process being told. lookCloser is the same while there are suspects.
	lookAgain  = 5 * time.Minute
	lookCloser = 2 * time.Minute
)

// leftovers finds what pods left behind that are gone: addresses, links and host ports of
// sandboxes that the runtime does not know (it was killed between ADD and its own note, or
// the machine went down before it could say DEL), and files of their network namespaces.
type leftovers struct {
	sweeper      sweep.Sweeper[sweep.Suspect]
	idle, closer time.Duration // between looks, without and with suspects
	again        time.Time     // of the next look
}

func newLeftovers() leftovers {
	return leftovers{sweeper: sweep.Sweeper[sweep.Suspect]{After: longestCreation, Every: lookCloser}, idle: lookAgain, closer: lookCloser}
}

// view is what one look sees. What is held is read before the runtime is asked, so that
// whatever became known in between is known.
type view struct {
	held  map[ipam.Owner]*cni.Held
	known map[string]bool // the runtime's sandboxes; nil: it cannot be asked
	links map[string]bool // on this node
	files []nsFile
}

// nsFile is a file that a sandbox's network namespace is, or was, mounted on.
type nsFile struct {
	path, since string
	mounted     bool
	used        bool // a process lives in it
}

// The kinds of leftovers.
const (
	kindAttachment = "attachment"
	kindNetns      = "netns"
)

// suspects says what seems to be left over, sorted. It is pure.
func (v view) suspects() []sweep.Suspect {
	var out []sweep.Suspect
	kept := map[string]bool{} // namespaces of those that are not suspected
	for o, h := range v.held {
		inUse := h.InFlight
		if v.known != nil {
			inUse = inUse || v.known[o.Container]
		} else {
			inUse = inUse || v.links[h.Link]
		}
		if inUse {
			if h.Note != nil {
				kept[filepath.Base(h.Note.Netns)] = true
			}
			continue
		}
		out = append(out, sweep.Suspect{Kind: kindAttachment, Name: o.Container + "/" + o.Interface, Since: h.Since})
	}
	for _, f := range v.files {
		// One that is mounted is let alone where nobody can say which sandboxes there are.
		if kept[filepath.Base(f.path)] || f.mounted && (f.used || v.known == nil) {
			continue
		}
		out = append(out, sweep.Suspect{Kind: kindNetns, Name: f.path, Since: f.since})
	}
	slices.SortFunc(out, func(a, b sweep.Suspect) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return out
}

// next is how long until the next look.
func (l *leftovers) next(now time.Time) time.Duration { return max(l.again.Sub(now), time.Millisecond) }

// sweep looks for leftovers, when it is time to, and removes what may go.
func (n *Network) sweep(ctx context.Context) error {
	l, now := &n.left, time.Now()
	if now.Before(l.again) {
		return nil
	}
	l.again = now.Add(l.closer)
	v, err := n.look(ctx)
	if err != nil {
		return err
	}
	suspects := v.suspects()
	if len(suspects) == 0 {
		l.again = now.Add(l.idle)
	}
	var errs error
	removed := map[string]int{}
	for _, s := range l.sweeper.Look(now, suspects) {
		did, err := n.removeLeftover(s)
		errs = errors.Join(errs, err)
		if did && err == nil {
			removed[s.Kind]++
		}
	}
	if len(removed) > 0 {
		n.o.Log.Info("removed what pods that are gone left behind", "attachments", removed[kindAttachment], "namespaces", removed[kindNetns])
	}
	return errs
}

func (n *Network) removeLeftover(s sweep.Suspect) (bool, error) {
	if s.Kind == kindNetns {
		_, _, since, err := netns.Lookup(s.Name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil || since != s.Since {
			return false, err
		}
		return true, netns.Remove(s.Name)
	}
	container, iface, _ := strings.Cut(s.Name, "/")
	return n.state().Remove(ipam.Owner{Container: container, Interface: iface}, s.Since)
}

func (n *Network) state() cni.State { return cni.State{Dir: n.o.StateDir, Table: n.o.Table} }

func (n *Network) look(ctx context.Context) (v view, err error) {
	if v.held, err = n.state().Held(); err != nil {
		return v, err
	}
	if v.files, err = nsFiles(n.o); err != nil {
		return v, err
	}
	if v.links, err = linkNames(); err != nil {
		return v, err
	}
	if n.o.Sandboxes != nil {
		if v.known, err = n.o.Sandboxes(ctx); err == nil && v.known == nil {
			v.known = map[string]bool{}
		}
	}
	return v, err
}

func linkNames() (map[string]bool, error) {
	links, err := dump.Links()
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	out := make(map[string]bool, len(links))
	for _, l := range links {
		out[l.Attrs().Name] = true
	}
	return out, nil
}

// nsFiles are the files of namespaces that are ours: those the plugin was called with,
// and all in the directory that only our runtime uses.
func nsFiles(o Options) ([]nsFile, error) {
	paths, err := ourNetns(o)
	if err != nil || len(paths) == 0 {
		return nil, err
	}
	used, err := netns.Used()
	if err != nil {
		return nil, err
	}
	var out []nsFile
	for _, p := range paths {
		id, mounted, since, err := netns.Lookup(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, nsFile{p, since, mounted, used[id]})
	}
	return out, nil
}

func ourNetns(o Options) ([]string, error) {
	paths, err := cni.NotedNetns(o.StateDir)
	if err != nil || o.NetnsDir == "" {
		return paths, err
	}
	noted := map[string]bool{}
	for _, p := range paths {
		noted[p] = true
	}
	entries, err := os.ReadDir(o.NetnsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	for _, e := range entries {
		if p := filepath.Join(o.NetnsDir, e.Name()); strings.HasPrefix(e.Name(), cni.NetnsPrefix) && !noted[p] {
			paths = append(paths, p)
		}
	}
	return paths, nil
}
