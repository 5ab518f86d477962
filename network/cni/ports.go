package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containernetworking/cni/pkg/types"

	"hyperkube/internal/nft"
	"hyperkube/internal/regular"
	"hyperkube/network/ipam"
	"hyperkube/network/rules"
)

// Ports are the host ports of one attachment, as remembered in <stateDir>/ports.
type Ports struct {
	Owner ipam.Owner          `json:"owner"`
	Addrs []netip.Addr        `json:"addrs"`
	Ports []rules.PortMapping `json:"ports"`
}

// Key names the ports among the owners of the table's content.
func (p *Ports) Key() string { return "pod/" + p.Owner.Container + "/" + p.Owner.Interface }

// Elements are the map elements that the ports need in one family.
func (p *Ports) Elements(f nft.Family, reserved []rules.HostPort) []nft.Element {
	var out []nft.Element
	for _, a := range p.Addrs {
		if familyOf(a) == f {
			out = append(out, rules.HostPorts(f, a, p.Ports, reserved)...)
		}
	}
	return out
}

func portsDir(stateDir string) string { return filepath.Join(stateDir, "ports") }

func portsFile(stateDir string, o ipam.Owner) string {
	return filepath.Join(portsDir(stateDir), o.Container+"-"+o.Interface+".json")
}

// ReadPorts returns the host ports of all attachments. Files that were not written
// to the end belong to an Add that did not finish and are skipped.
func ReadPorts(stateDir string) ([]Ports, error) {
	entries, err := os.ReadDir(portsDir(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing host ports: %w", err)
	}
	var out []Ports
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		p, err := readPorts(filepath.Join(portsDir(stateDir), e.Name()))
		if err != nil {
			return nil, err
		}
		if p != nil {
			out = append(out, *p)
		}
	}
	return out, nil
}

func readPorts(path string) (*Ports, error) {
	raw, err := regular.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading host ports: %w", err)
	}
	p := &Ports{}
	if json.Unmarshal(raw, p) != nil {
		return nil, nil
	}
	return p, nil
}

// mapPorts remembers the host ports, then installs them. Their chains belong to the
// node's network agent, which installs what is remembered when it (re)builds them.
func (n *network) mapPorts(owner ipam.Owner, addrs []netip.Addr) error {
	p := &Ports{Owner: owner, Addrs: addrs, Ports: n.RuntimeConfig.PortMappings}
	if len(p.Ports) == 0 {
		return nil
	}
	if err := n.checkFree(p); err != nil {
		return err
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding host ports: %w", err)
	}
	if err := os.MkdirAll(portsDir(n.StateDir), 0o700); err != nil {
		return fmt.Errorf("remembering host ports: %w", err)
	}
	file := portsFile(n.StateDir, owner)
	if err := regular.WriteFile(file+".new", raw, 0o600); err != nil {
		return fmt.Errorf("remembering host ports: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("remembering host ports: %w", err)
	}
	err = n.install(p)
	if err == nil {
		err = forgetFlows(p, true)
	}
	if err != nil {
		return errors.Join(err, n.unmapPorts(owner))
	}
	return nil
}

// checkFree refuses a host port that the host itself or another pod has.
func (n *network) checkFree(p *Ports) error {
	for _, r := range rules.Refused(p.Ports, n.ReservedPorts) {
		return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("host port %d/%s is in use", r.HostPort, r.Protocol),
			"the node itself listens there; choose another host port")
	}
	others, err := ReadPorts(n.StateDir)
	if err != nil {
		return err
	}
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		taken := map[string]ipam.Owner{}
		for i := range others {
			for _, e := range others[i].Elements(f, nil) {
				taken[e.Set+e.Key] = others[i].Owner
			}
		}
		for _, e := range p.Elements(f, nil) {
			if o, ok := taken[e.Set+e.Key]; ok && o != p.Owner && e.Value.Data != "" {
				return types.NewError(types.ErrInvalidNetworkConfig, "host port is in use", "by container "+o.Container)
			}
		}
	}
	return nil
}

// install adds the elements; if the table is not there it makes it.
func (n *network) install(p *Ports) error {
	return n.eachFamily(p, func(k *nft.Kernel, elems []nft.Element) error {
		err := apply(k, elems, nil)
		if !errors.Is(err, syscall.ENOENT) {
			return err
		}
		have, err := k.Read()
		if err != nil {
			return err
		}
		want := nft.NewDesired(k.Table())
		base := rules.Base(k.Table().Family, n.rules())
		base.Elements = append(base.Elements, elems...)
		want.Put("base", base)
		// Others may have made the table meanwhile and put their ports in it.
		all, err := ReadPorts(n.StateDir)
		if err != nil {
			return err
		}
		for i := range all {
			want.Put(all[i].Key(), &nft.Fragment{Elements: all[i].Elements(k.Table().Family, n.ReservedPorts)})
		}
		return k.Apply(want.PlanAll(have))
	})
}

// unmapPorts removes the elements, then forgets them.
func (n *network) unmapPorts(owner ipam.Owner) error {
	file := portsFile(n.StateDir, owner)
	p, err := readPorts(file)
	if err != nil {
		return err
	}
	if p != nil {
		if err := n.eachFamily(p, func(k *nft.Kernel, elems []nft.Element) error {
			for _, e := range elems { // one by one: some may be gone
				if err := apply(k, nil, []nft.Element{e}); err != nil && !errors.Is(err, syscall.ENOENT) {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		if err := forgetFlows(p, false); err != nil {
			return err
		}
	}
	if err := removeFiles(file, file+".new"); err != nil {
		return fmt.Errorf("forgetting host ports: %w", err)
	}
	return nil
}

func (n *network) eachFamily(p *Ports, f func(*nft.Kernel, []nft.Element) error) error {
	for _, family := range []nft.Family{nft.IPv4, nft.IPv6} {
		elems := p.Elements(family, n.ReservedPorts)
		if len(elems) == 0 {
			continue
		}
		k, err := nft.Open(nft.Table{Family: family, Name: n.Table})
		if err != nil {
			return err
		}
		if err := errors.Join(f(k, elems), k.Close()); err != nil {
			return err
		}
	}
	return nil
}

func apply(k *nft.Kernel, add, del []nft.Element) error {
	bySet := map[string]bool{}
	for _, e := range append(append([]nft.Element{}, add...), del...) {
		bySet[e.Set] = true
	}
	of := func(set string, all []nft.Element) (out []nft.Element) {
		for _, e := range all {
			if e.Set == set {
				out = append(out, e)
			}
		}
		return out
	}
	for set := range bySet {
		if err := k.Apply(nft.ElementChanges(rules.SetOf(set), of(set, add), of(set, del))); err != nil {
			return err
		}
	}
	return nil
}
