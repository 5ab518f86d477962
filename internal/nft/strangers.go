package nft

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Droppers are the chains on a hook, anybody's, that drop what none of their rules accepted,
// as "family table chain". An accept elsewhere does not help against such a chain.
func Droppers(hook uint32) ([]string, error) {
	s, err := openSocket(0)
	if err != nil {
		return nil, err
	}
	defer s.file.Close()
	families := map[byte]string{unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_INET: "inet"}
	var out []string
	reset := func() { out = nil }
	err = s.dump(Table{}, unix.NFT_MSG_GETCHAIN, func(*batch) {}, reset, func(m []byte) error {
		family, known := families[m[0]]
		var table, name string
		num, policy := ^uint32(0), uint32(policyAccept)
		attributes(m[4:], func(t uint16, d []byte) {
			switch {
			case t == unix.NFTA_CHAIN_TABLE:
				table = cString(d)
			case t == unix.NFTA_CHAIN_NAME:
				name = cString(d)
			case t == unix.NFTA_CHAIN_POLICY && len(d) == 4:
				policy = binary.BigEndian.Uint32(d)
			case t == unix.NFTA_CHAIN_HOOK:
				attributes(d, func(t uint16, d []byte) {
					if t == unix.NFTA_HOOK_HOOKNUM && len(d) == 4 {
						num = binary.BigEndian.Uint32(d)
					}
				})
			}
		})
		if known && num == hook && policy != policyAccept {
			out = append(out, fmt.Sprintf("%s %s %s", family, table, name))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing nftables chains: %w", err)
	}
	slices.Sort(out)
	return out, nil
}
