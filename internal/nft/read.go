package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
)

// digestComment is the user data of a chain's first rule: a comment that nft prints.
func digestComment(digest string, rules int) []byte {
	text := fmt.Sprintf("%s/%d\x00", digest, rules)
	return append([]byte{0, byte(len(text))}, text...)
}

func parseDigest(data []byte) (digest string, rules int, ok bool) {
	if len(data) < 2 || data[0] != 0 || int(data[1]) != len(data)-2 {
		return "", 0, false
	}
	digest, count, ok := strings.Cut(strings.TrimRight(string(data[2:]), "\x00"), "/")
	if !ok {
		return "", 0, false
	}
	_, err := fmt.Sscanf(count, "%d", &rules)
	return digest, rules, err == nil
}

// attributes splits a message's or a nest's content.
func attributes(raw []byte, each func(typ uint16, data []byte)) {
	for len(raw) >= 4 {
		n := int(binary.NativeEndian.Uint16(raw))
		if n < 4 || n > len(raw) {
			return
		}
		each(binary.NativeEndian.Uint16(raw[2:])&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), raw[4:n])
		raw = raw[min(len(raw), padded(n)):]
	}
}

func cString(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// Read returns what the table holds in the kernel. Its parts are read one after the
// other, so it is read again when somebody else changed it meanwhile.
func (k *Kernel) Read() (*Installed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return dump.Whole(func() (*Installed, error) {
		if err := k.ear.join(unix.NFNLGRP_NFTABLES); err != nil {
			return nil, err
		}
		have, err := k.read()
		changed, err2 := k.changed()
		if err := errors.Join(err2, k.ear.leave(unix.NFNLGRP_NFTABLES)); err != nil {
			return nil, err
		}
		if changed {
			return nil, fmt.Errorf("reading table %s: %w", k.table, netlink.ErrDumpInterrupted)
		}
		return have, err
	})
}

// changed reports whether others changed the table since the ear was joined. A change is
// seen by readers a moment before it is told; an empty transaction waits for its turn
// after the one that is in that moment.
func (k *Kernel) changed() (bool, error) {
	if err := k.sock.transact(newBatch(k.table)); err != nil {
		return false, err
	}
	foreign := false
	err := k.ear.drain(func(m message) error {
		foreign = foreign || k.isForeign(m)
		return nil
	})
	if errors.Is(err, unix.ENOBUFS) { // too much was told
		return true, nil
	}
	return foreign, err
}

func (k *Kernel) read() (*Installed, error) {
	have := NewInstalled()
	if err := k.readTable(have); err != nil {
		return nil, fmt.Errorf("reading table %s: %w", k.table, err)
	}
	if err := k.readChains(have); err != nil {
		return nil, fmt.Errorf("reading chains of %s: %w", k.table, err)
	}
	if err := k.readRules(have); err != nil {
		return nil, fmt.Errorf("reading rules of %s: %w", k.table, err)
	}
	if err := k.readSets(have); err != nil {
		return nil, fmt.Errorf("reading sets of %s: %w", k.table, err)
	}
	if err := k.readStrangers(have); err != nil {
		return nil, fmt.Errorf("reading objects of %s: %w", k.table, err)
	}
	return have, nil
}

func (k *Kernel) readTable(have *Installed) error {
	return k.sock.dump(k.table, unix.NFT_MSG_GETTABLE, func(*batch) {}, func() { have.Dormant = false }, func(m []byte) error {
		var name string
		var flags uint32
		attributes(m[4:], func(t uint16, d []byte) {
			switch {
			case t == unix.NFTA_TABLE_NAME:
				name = cString(d)
			case t == unix.NFTA_TABLE_FLAGS && len(d) == 4:
				flags = binary.BigEndian.Uint32(d)
			}
		})
		if name == k.table.Name {
			have.Dormant = flags&unix.NFT_TABLE_F_DORMANT != 0
		}
		return nil
	})
}

// readStrangers finds what we never make: it would keep chains and sets from being removed.
func (k *Kernel) readStrangers(have *Installed) error {
	reset := func() { have.Strangers = nil }
	err := k.sock.dump(k.table, unix.NFT_MSG_GETOBJ, func(b *batch) { b.attrString(unix.NFTA_OBJ_TABLE, k.table.Name) }, reset, func(m []byte) error {
		var table string
		var s Stranger
		attributes(m[4:], func(t uint16, d []byte) {
			switch {
			case t == unix.NFTA_OBJ_TABLE:
				table = cString(d)
			case t == unix.NFTA_OBJ_NAME:
				s.Name = cString(d)
			case t == unix.NFTA_OBJ_TYPE && len(d) == 4:
				s.Type = binary.BigEndian.Uint32(d)
			}
		})
		if table == k.table.Name {
			have.Strangers = append(have.Strangers, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	objects := len(have.Strangers)
	reset = func() { have.Strangers = have.Strangers[:objects] }
	return k.sock.dump(k.table, unix.NFT_MSG_GETFLOWTABLE, func(b *batch) { b.attrString(flowtableTable, k.table.Name) }, reset, func(m []byte) error {
		var table string
		s := Stranger{Flowtable: true}
		attributes(m[4:], func(t uint16, d []byte) {
			switch t {
			case flowtableTable:
				table = cString(d)
			case flowtableName:
				s.Name = cString(d)
			}
		})
		if table == k.table.Name {
			have.Strangers = append(have.Strangers, s)
		}
		return nil
	})
}

func (k *Kernel) readChains(have *Installed) error {
	reset := func() { clear(have.Chains) }
	return k.sock.dump(k.table, unix.NFT_MSG_GETCHAIN, func(*batch) {}, reset, func(m []byte) error {
		var table, name, hook string
		var typ string
		policy := uint32(policyAccept)
		attributes(m[4:], func(t uint16, d []byte) {
			switch t {
			case unix.NFTA_CHAIN_TABLE:
				table = cString(d)
			case unix.NFTA_CHAIN_NAME:
				name = cString(d)
			case unix.NFTA_CHAIN_TYPE:
				typ = cString(d)
			case unix.NFTA_CHAIN_HOOK:
				hook = string(d)
			case unix.NFTA_CHAIN_POLICY:
				if len(d) == 4 {
					policy = binary.BigEndian.Uint32(d)
				}
			}
		})
		if table == k.table.Name {
			have.Exists = true
			have.Chains[name] = emptyChain(k.table.Family, name, typ, []byte(hook), policy)
		}
		return nil
	})
}

// emptyChain is a chain as read, before any rule is seen.
func emptyChain(f Family, name, typ string, hook []byte, policy uint32) InstalledChain {
	c, spec := Chain{Name: name}, ""
	if len(hook) > 0 {
		c.Hook = &Hook{Type: typ}
		attributes(hook, func(t uint16, d []byte) {
			switch {
			case len(d) < 4:
			case t == unix.NFTA_HOOK_HOOKNUM:
				c.Hook.Num = binary.BigEndian.Uint32(d)
			case t == unix.NFTA_HOOK_PRIORITY:
				c.Hook.Priority = int32(binary.BigEndian.Uint32(d))
			}
		})
		spec = hookSpec(typ, c.Hook.Num, c.Hook.Priority, policy)
		if c.Hook.Num > unix.NF_INET_POST_ROUTING {
			return InstalledChain{Hook: spec}
		}
	}
	return InstalledChain{Hook: spec, Digest: c.digest(f)}
}

func (k *Kernel) readRules(have *Installed) error {
	type seen struct {
		digest      string
		count, want int
	}
	chains := map[string]*seen{}
	body := func(b *batch) { b.attrString(unix.NFTA_RULE_TABLE, k.table.Name) }
	err := k.sock.dump(k.table, unix.NFT_MSG_GETRULE, body, func() { clear(chains) }, func(m []byte) error {
		var table, chain string
		var user []byte
		attributes(m[4:], func(t uint16, d []byte) {
			switch t {
			case unix.NFTA_RULE_TABLE:
				table = cString(d)
			case unix.NFTA_RULE_CHAIN:
				chain = cString(d)
			case unix.NFTA_RULE_USERDATA:
				user = d
			}
		})
		if table != k.table.Name {
			return nil
		}
		s := chains[chain]
		if s == nil {
			s = &seen{}
			chains[chain] = s
			s.digest, s.want, _ = parseDigest(user)
		}
		s.count++
		return nil
	})
	for name, s := range chains {
		if s.count != s.want {
			s.digest = "" // not as we wrote it
		}
		have.Chains[name] = InstalledChain{Hook: have.Chains[name].Hook, Digest: s.digest}
	}
	return err
}

func (k *Kernel) readSets(have *Installed) error {
	f := k.table.Family
	body := func(b *batch) { b.attrString(unix.NFTA_SET_TABLE, k.table.Name) }
	dynamic := map[string]bool{}
	reset := func() { clear(have.Sets) }
	err := k.sock.dump(k.table, unix.NFT_MSG_GETSET, body, reset, func(m []byte) error {
		name, spec := parseSetSpec(m[4:])
		if spec.flags&unix.NFT_SET_ANONYMOUS == 0 {
			have.Sets[name] = InstalledSet{Spec: spec.String(), Elements: map[string]Value{}}
			dynamic[name] = spec.flags&unix.NFT_SET_EVAL != 0
		}
		return nil
	})
	if errors.Is(err, syscall.ENOENT) {
		return nil // no table
	}
	for name := range have.Sets {
		if err == nil && !dynamic[name] {
			err = k.readElements(f, name, have.Sets[name].Elements)
		}
	}
	return err
}

func (k *Kernel) readElements(_ Family, set string, into map[string]Value) error {
	body := func(b *batch) {
		b.attrString(unix.NFTA_SET_ELEM_LIST_TABLE, k.table.Name)
		b.attrString(unix.NFTA_SET_ELEM_LIST_SET, set)
	}
	return k.sock.dump(k.table, unix.NFT_MSG_GETSETELEM, body, func() { clear(into) }, func(m []byte) error {
		attributes(m[4:], func(t uint16, list []byte) {
			if t != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return
			}
			attributes(list, func(_ uint16, elem []byte) {
				key, v := parseElement(elem)
				into[key] = v
			})
		})
		return nil
	})
}

func parseElement(raw []byte) (key string, v Value) {
	attributes(raw, func(t uint16, d []byte) {
		attributes(d, func(inner uint16, x []byte) {
			switch {
			case t == unix.NFTA_SET_ELEM_KEY && inner == unix.NFTA_DATA_VALUE:
				key = string(x)
			case t == unix.NFTA_SET_ELEM_DATA && inner == unix.NFTA_DATA_VALUE:
				v.Data = string(x)
			case t == unix.NFTA_SET_ELEM_DATA && inner == unix.NFTA_DATA_VERDICT:
				v = parseVerdict(x)
			}
		})
	})
	return key, v
}

func parseVerdict(raw []byte) (v Value) {
	attributes(raw, func(t uint16, d []byte) {
		switch {
		case t == unix.NFTA_VERDICT_CODE && len(d) == 4:
			if v.Verdict = int32(binary.BigEndian.Uint32(d)); v.Verdict == 0 {
				v.Verdict = VerdictDrop
			}
		case t == unix.NFTA_VERDICT_CHAIN:
			v.Chain = cString(d)
		}
	})
	return v
}
