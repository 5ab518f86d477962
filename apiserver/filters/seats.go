package filters

import (
	"strings"
	"sync"

	"hyperkube/apiserver/request"
)

// class of a user: whom a part of what is scarce is kept for.
type class int

const (
	others class = iota
	system
	nodes
	masters
	classes
)

// The cluster's own accounts: the roles that run elsewhere, and the service accounts of the
// namespace that is the administrators'. Without them nothing runs for anybody.
const (
	userControllerManager = "system:kube-controller-manager"
	userScheduler         = "system:kube-scheduler"
	systemAccounts        = request.ServiceAccountPrefix + "kube-system:"
)

func classOf(u *request.User) class {
	switch {
	case u.In(request.GroupMasters):
		return masters
	case u.In(request.GroupNodes) && strings.HasPrefix(u.Name, request.NodeUserPrefix):
		return nodes
	case u.Name == userControllerManager, u.Name == userScheduler, strings.HasPrefix(u.Name, systemAccounts):
		return system
	}
	return others
}

// seats are the places for requests under way.
//
//	│ kept for masters │ for nodes │ for the cluster's own accounts │ ··· shared by all ··· │
//
// A class takes of its own before it takes of what is shared. What is shared, accounts
// divide as in a pool: nobody gets more than is then left for the others. One node gets at
// most half of what is kept for nodes; one administrator leaves half of what is kept for
// administrators to others, and so does each of the cluster's own accounts.
type seats struct {
	kept   [classes]int64
	most   [classes]int64 // for one account
	shared int64

	mu    sync.Mutex
	taken [classes]int64
	held  map[string]int64 // by account
}

func newSeats(total int64) *seats {
	s := &seats{held: map[string]int64{}}
	s.kept = [classes]int64{masters: total / 10, nodes: total / 5, system: total / 10}
	s.shared = total - s.kept[masters] - s.kept[nodes] - s.kept[system]
	s.most = [classes]int64{
		others:  s.shared,
		system:  max(1, s.shared/2+s.kept[system]-s.kept[system]/2),
		nodes:   max(1, s.kept[nodes]/2),
		masters: max(1, s.shared+s.kept[masters]-s.kept[masters]/2),
	}
	return s
}

// take is false when the user must come again later.
func (s *seats) take(u *request.User) bool {
	c, who := classOf(u), account(u)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[who] >= s.most[c] {
		return false
	}
	if s.taken[c] >= s.kept[c] {
		left := s.shared
		for k, n := range s.taken {
			left -= max(0, n-s.kept[k])
		}
		if left <= 0 || c == others && s.held[who] >= left {
			return false
		}
	}
	s.taken[c]++
	s.held[who]++
	return true
}

func (s *seats) leave(u *request.User) {
	who := account(u)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[classOf(u)]--
	if s.held[who]--; s.held[who] == 0 {
		delete(s.held, who)
	}
}
