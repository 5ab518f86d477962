package decide

import (
	"fmt"
	"slices"
	"strings"
)

// Explain puts the reasons in the words that users search for. nodes is how many
// the cluster has.
func Explain(d Decision, nodes int) string {
	if nodes == 0 {
		return "no nodes available to schedule pods"
	}
	if d.Refused != "" {
		return fmt.Sprintf("0/%d nodes are available: %s.", nodes, d.Refused)
	}
	return available(nodes, d.Reasons)
}

// NoVictims says why preemption did not help.
func NoVictims(d Decision, nodes int) string {
	open := len(d.Open)
	return available(nodes, map[string]int{
		"No preemption victims found for incoming pod": open,
		"Preemption is not helpful for scheduling":     nodes - open,
	})
}

func available(nodes int, reasons map[string]int) string {
	parts := make([]string, 0, len(reasons))
	for reason, n := range reasons {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, reason))
		}
	}
	slices.Sort(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", nodes, strings.Join(parts, ", "))
}
