package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"hyperkube/internal/nft"
	"hyperkube/network/bridge"
	"hyperkube/network/ipam"
	"hyperkube/network/rules"
)

// Type is the plugin's name: of its program and in configurations.
const Type = "hyperkube-cni"

// Config is the plugin's part of a network configuration.
type Config struct {
	types.PluginConf

	Bridge       string   `json:"bridge,omitempty"` // cbr0
	MTU          int      `json:"mtu,omitempty"`
	Subnets      []string `json:"subnets"`                // the node's podCIDRs
	NoMasquerade []string `json:"noMasquerade,omitempty"` // the cluster's pod ranges
	StateDir     string   `json:"stateDir"`
	Table        string   `json:"table,omitempty"` // nftables table for host ports: hyperkube
	// ReservedPorts are the host's own: no pod gets them.
	ReservedPorts []rules.HostPort `json:"reservedPorts,omitempty"`

	RuntimeConfig struct {
		PortMappings []rules.PortMapping `json:"portMappings,omitempty"`
	} `json:"runtimeConfig,omitempty"`
}

// network is a checked Config.
type network struct {
	Config
	subnets      []netip.Prefix
	noMasquerade []netip.Prefix
}

func decode(stdin []byte) (*network, error) {
	n := &network{}
	if err := json.Unmarshal(stdin, &n.Config); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "network configuration is not valid JSON", err.Error())
	}
	invalid := func(err error) error {
		return types.NewError(types.ErrInvalidNetworkConfig, "invalid network configuration", err.Error())
	}
	if n.Bridge == "" {
		n.Bridge = "cbr0"
	}
	if n.Table == "" {
		n.Table = "hyperkube"
	}
	var err error
	if n.subnets, err = prefixes(n.Subnets); err != nil {
		return nil, invalid(fmt.Errorf("subnets: %w", err))
	}
	if n.noMasquerade, err = prefixes(n.NoMasquerade); err != nil {
		return nil, invalid(fmt.Errorf("noMasquerade: %w", err))
	}
	switch {
	case len(n.subnets) == 0:
		return nil, invalid(errors.New("subnets is empty"))
	case !filepath.IsAbs(n.StateDir):
		return nil, invalid(errors.New("stateDir is not an absolute path"))
	case len(n.Bridge) > 15 || strings.ContainsAny(n.Bridge, "/ "):
		return nil, invalid(fmt.Errorf("bridge %q is not a link name", n.Bridge))
	case n.MTU < 0 || n.MTU > 65535:
		return nil, invalid(fmt.Errorf("mtu %d is out of range", n.MTU))
	}
	return n, nil
}

func prefixes(in []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range in {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		if p.Masked() != p {
			return nil, fmt.Errorf("%s has bits beyond its length", s)
		}
		if p.Addr().BitLen()-p.Bits() < 2 {
			return nil, fmt.Errorf("%s is too small for pods", s)
		}
		out = append(out, p)
	}
	return out, nil
}

// AddressDir is where a network's addresses are remembered.
func AddressDir(stateDir string) string { return filepath.Join(stateDir, "addresses") }

func (n *network) bridge() bridge.Config {
	c := bridge.Config{Name: n.Bridge, MTU: n.MTU}
	for _, s := range n.subnets {
		c.Gateways = append(c.Gateways, netip.PrefixFrom(ipam.Gateway(s), s.Bits()))
	}
	return c
}

func (n *network) rules() rules.Config {
	return rules.Config{Bridge: n.Bridge, PodCIDRs: n.subnets, NoMasquerade: n.noMasquerade, Reserved: n.ReservedPorts}
}

func familyOf(a netip.Addr) nft.Family {
	if a.Is6() {
		return nft.IPv6
	}
	return nft.IPv4
}
