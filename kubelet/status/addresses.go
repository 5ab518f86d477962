package status

import "net/netip"

// oneOfEach are the first IPv4 and the first IPv6 address of a list, in its order: the API server takes no
// status with more, and a network or a host may give a pod several.
func oneOfEach(ips []string) []string {
	var out []string
	var four, six bool
	for _, text := range ips {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		seen := &six
		if ip.Unmap().Is4() {
			seen = &four
		}
		if !*seen {
			out = append(out, text)
		}
		*seen = true
	}
	return out
}
