package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/dump"
	"hyperkube/internal/netns"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kubelet/cri"
)

// A pod whose port was deleted or set down is alive and deaf: its containers would be restarted for ever. The kernel
// tells of links that go; then, and once after the start, all sandboxes are looked at, and those that two
// looks find without a network get a new sandbox.
const (
	lookAgain   = 2 * time.Second
	looksApart  = time.Second // at least, however much the kernel tells
	lookAnyway  = time.Minute
	lookBlindly = 5 * time.Second // where the kernel tells nothing
	oneLook     = 2 * time.Second
)

// watchNetworks finds sandboxes that have lost their network until ctx ends.
func (k *Kubelet) watchNetworks(ctx context.Context) error {
	select {
	case <-k.ready:
	case <-ctx.Done():
		return nil
	}
	kick := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { followLinks(ctx, kick, trouble.New(k.o.Log, k.failures, "listening for links that go")) })
	rebuilt := attempts{}
	check := &networkCheck{ok: k.o.SandboxNetworkOK, told: trouble.New(k.o.Log, k.failures, "looking at pods' networks")}
	for {
		first := check.lost(ctx, k.workers.Networked())
		if len(first) > 0 && supervise.Pause(ctx, lookAgain) {
			again := check.lost(ctx, k.workers.Networked())
			for uid, id := range again {
				if first[uid] == id && rebuilt.may(uid, time.Now()) {
					k.o.Log.Warn("a pod's sandbox has lost its network", "uid", string(uid), "sandbox", id)
					k.workers.Unplugged(uid, id)
				}
			}
		}
		if !supervise.Pause(ctx, looksApart) {
			return nil
		}
		timer := time.NewTimer(lookAnyway)
		select {
		case <-ctx.Done():
		case <-kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// attempts keeps a pod whose network does not come from being rebuilt all the time.
type attempts map[types.UID]attempt

type attempt struct {
	pause time.Duration
	at    time.Time
}

const (
	rebuildFirst = 10 * time.Second
	rebuildMost  = 10 * time.Minute
)

func (a attempts) may(uid types.UID, now time.Time) bool {
	for other, x := range a {
		if now.Sub(x.at) > 2*rebuildMost {
			delete(a, other) // it has been well since, or is gone
		}
	}
	last, seen := a[uid]
	if seen && now.Sub(last.at) < last.pause {
		return false
	}
	a[uid] = attempt{pause: min(max(2*last.pause, rebuildFirst), rebuildMost), at: now}
	return true
}

// followLinks kicks whenever a link goes or stops running, and now and then where the kernel tells nothing.
func followLinks(ctx context.Context, kick chan<- struct{}, told *trouble.Teller) {
	poke := func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
	for ctx.Err() == nil {
		links := make(chan netlink.LinkUpdate, 64)
		err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: func(err error) {
			if ctx.Err() == nil {
				told.Failed(err) // something was missed; the channel ends
			}
		}})
		if err != nil {
			told.Failed(err)
		} else {
			told.Well()
			for u := range links {
				if u.Header.Type == rtmDelLink || u.Attrs().RawFlags&iffRunning == 0 {
					poke()
				}
			}
		}
		poke()
		supervise.Pause(ctx, lookBlindly)
	}
}

const (
	rtmDelLink = 17   // RTM_DELLINK
	iffRunning = 0x40 // IFF_RUNNING
)

// networkCheck asks whether sandboxes have their network. What cannot be found out counts as well.
type networkCheck struct {
	ok   func(ctx context.Context, sandbox string) (bool, error)
	told *trouble.Teller
}

// lost are those of the sandboxes that certainly have no network.
func (c *networkCheck) lost(ctx context.Context, of map[types.UID]string) map[types.UID]string {
	out := map[types.UID]string{}
	var failed error
	for uid, id := range of {
		one, cancel := context.WithTimeout(ctx, oneLook)
		ok, err := c.ok(one, id)
		cancel()
		switch {
		case err != nil:
			failed = fmt.Errorf("sandbox %s: %w", id, err)
		case !ok:
			out[uid] = id
		}
	}
	switch {
	case ctx.Err() != nil:
	case failed != nil:
		c.told.Failed(failed)
	default:
		c.told.Well()
	}
	return out
}

// namespaces looks into sandboxes' network namespaces. For one goroutine.
type namespaces struct {
	client *cri.Client
	paths  map[string]string // by sandbox; what a sandbox has never changes
}

// pathsMost is how many are remembered.
const pathsMost = 1024

// ok looks into a sandbox's network namespace: one that has lost its port has nothing but loopback, or
// links without a carrier. A pod may do with its own links what it likes as long as one of them works.
func (n *namespaces) ok(ctx context.Context, sandbox string) (bool, error) {
	path, known := n.paths[sandbox]
	if !known {
		st, err := n.client.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: sandbox, Verbose: true})
		if err != nil {
			return true, err
		}
		path = namespacePath(st.Info["info"])
		if len(n.paths) >= pathsMost {
			clear(n.paths)
		}
		n.paths[sandbox] = path
	}
	if path == "" {
		return true, nil // a runtime that does not say
	}
	return plugged(path)
}

// namespacePath reads the network namespace out of what containerd and CRI-O say of a sandbox.
func namespacePath(info string) string {
	var said struct {
		RuntimeSpec struct {
			Linux struct {
				Namespaces []struct{ Type, Path string } `json:"namespaces"`
			} `json:"linux"`
		} `json:"runtimeSpec"`
	}
	if json.Unmarshal([]byte(info), &said) != nil {
		return ""
	}
	for _, n := range said.RuntimeSpec.Linux.Namespaces {
		if n.Type == "network" {
			return n.Path
		}
	}
	return ""
}

func plugged(path string) (ok bool, err error) {
	ns, err := netns.Open(path)
	if err != nil {
		return true, err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	var links []netlink.Link
	if err = ns.Do(func() (err error) { links, err = dump.Links(); return err }); err != nil {
		return true, err
	}
	for _, l := range links {
		ok = ok || carries(l)
	}
	return ok, nil
}

// carries tells whether a link leads somewhere. That one end of a pair has no carrier says that the other is down;
// links of other kinds lose theirs with the host's cable, which no new sandbox mends.
func carries(l netlink.Link) bool {
	flags := l.Attrs().Flags
	return flags&net.FlagLoopback == 0 && flags&net.FlagUp != 0 && (l.Type() != "veth" || flags&net.FlagRunning != 0)
}
