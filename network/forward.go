package network

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hyperkube/internal/nft"
)

// forwardPause is the least time between two looks at others' chains.
const forwardPause = 30 * time.Second

// lookAtForwarding tells of others' chains that drop what nobody let pass on its way through
// the node, as Docker and firewalls make them: pods then reach nothing, and nothing reaches
// them, and no rule of ours can help that. They may let pods pass; only their owner knows.
func (n *Network) lookAtForwarding(now time.Time) {
	if now.Sub(n.forwardSeen) < forwardPause {
		return
	}
	n.forwardSeen = now
	found, err := nft.Droppers(unix.NF_INET_FORWARD)
	if err != nil {
		n.o.Log.Debug("others' chains cannot be looked at", "err", err)
		return
	}
	what := strings.Join(found, ", ")
	switch {
	case what == n.forward:
	case what == "":
		n.o.Log.Info("no chain drops forwarded packets any more", "was", n.forward)
	default:
		n.o.Log.Warn("somebody's chain drops forwarded packets that it does not accept: pods are cut off unless it lets them pass",
			"chain", what, "next", "accept what comes in by "+n.o.Bridge+" and what goes out by it in that chain (Docker: in DOCKER-USER)")
	}
	n.forward = what
}
