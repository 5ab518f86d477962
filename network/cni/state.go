package cni

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hyperkube/network/bridge"
	"hyperkube/network/ipam"
)

// State is what the plugin remembers, for the node's agent.
type State struct{ Dir, Table string }

// Held is everything that one owner holds.
type Held struct {
	Owner    ipam.Owner
	Link     string // name of the node's end
	Addrs    []netip.Addr
	Note     *Attachment // nil: made by a version that did not note it, or nothing but remains
	InFlight bool        // ADD is at work on it
	Since    string      // differs once it is held anew
}

func (s State) network() *network {
	n := &network{}
	n.StateDir, n.Table = s.Dir, s.Table
	return n
}

// Held returns what is held, as of one moment.
func (s State) Held() (map[ipam.Owner]*Held, error) { return s.network().held() }

func (n *network) held() (map[ipam.Owner]*Held, error) {
	pool, err := ipam.Open(AddressDir(n.StateDir))
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	addrs, err := pool.Held()
	if err != nil {
		return nil, err
	}
	notes, err := ReadAttachments(n.StateDir)
	if err != nil {
		return nil, err
	}
	ports, err := ReadPorts(n.StateDir)
	if err != nil {
		return nil, err
	}
	out := map[ipam.Owner]*Held{}
	of := func(o ipam.Owner) *Held {
		if out[o] == nil {
			out[o] = &Held{Owner: o, Link: bridge.PortName(o.Container, o.Interface)}
		}
		return out[o]
	}
	for a, o := range addrs {
		of(o).Addrs = append(of(o).Addrs, a)
	}
	for _, p := range ports {
		of(p.Owner)
	}
	for _, a := range notes {
		if a.Owner != (ipam.Owner{}) {
			of(a.Owner).Note = a
		}
	}
	for _, h := range out {
		slices.SortFunc(h.Addrs, netip.Addr.Compare)
		if h.InFlight, err = locked(attachmentFile(n.StateDir, h.Owner)); err != nil {
			return nil, err
		}
		h.Since = n.since(h)
	}
	return out, nil
}

// since tells apart what holds something now from what held it before under the same name.
func (n *network) since(h *Held) string {
	files := []string{attachmentFile(n.StateDir, h.Owner), portsFile(n.StateDir, h.Owner)}
	for _, a := range h.Addrs {
		files = append(files, filepath.Join(AddressDir(n.StateDir), "ips", a.String()))
	}
	var b strings.Builder
	for _, f := range files {
		if st, err := os.Lstat(f); err == nil {
			fmt.Fprintf(&b, "%d ", st.ModTime().UnixNano())
		}
	}
	return b.String()
}

// Remove undoes ADD for an owner that holds what it held since then. It reports false, and
// does nothing, if that is no longer so or ADD is at work.
func (s State) Remove(o ipam.Owner, since string) (bool, error) {
	n := s.network()
	held, err := n.held()
	if err != nil {
		return false, err
	}
	h := held[o]
	if h == nil || h.InFlight || h.Since != since {
		return false, nil
	}
	return true, n.remove(o)
}

// Links are the names of the links that the plugin made or is making, with what is noted
// of them (nil: nothing). It takes no lock and may miss what is made at this moment.
func (s State) Links() (map[string]*Attachment, error) {
	addrs, err := ipam.Peek(AddressDir(s.Dir))
	if err != nil {
		return nil, err
	}
	notes, err := ReadAttachments(s.Dir)
	if err != nil {
		return nil, err
	}
	out := map[string]*Attachment{}
	for _, o := range addrs {
		out[bridge.PortName(o.Container, o.Interface)] = nil
	}
	for link, a := range notes {
		if out[link] = nil; a.Owner != (ipam.Owner{}) {
			out[link] = a
		}
	}
	return out, nil
}

// InFlight reports whether ADD is at work on an attachment.
func (s State) InFlight(link string) (bool, error) {
	return locked(filepath.Join(attachmentsDir(s.Dir), link+attachmentSuffix))
}

// forget removes the note of an attachment, and what a killed ADD wrote of one. The caller
// holds the pool's lock.
func (n *network) forget(o ipam.Owner) error {
	file := attachmentFile(n.StateDir, o)
	if err := removeFiles(file, file+".new"); err != nil {
		return fmt.Errorf("forgetting the attachment: %w", err)
	}
	return nil
}

// removeFiles removes files; it is no error if they are gone.
func removeFiles(paths ...string) error {
	var errs error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}
