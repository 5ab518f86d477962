package filters

import (
	"strings"
	"sync"

	"hyperkube/apiserver/request"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pool is what many take of, none of whom may leave nothing to the others. Who asks for
// more gets it only while all they then hold is no more than what was left for anybody:
//
//	│ first: ½ │ second: ¼ │ ⅛ │ … │ whoever holds nothing gets the last
//
// Nobody waits: who gets nothing comes again later.
type pool struct {
	total int64

	mu   sync.Mutex
	used int64
	held map[string]int64
}

func newPool(total int64) *pool { return &pool{total: total, held: map[string]int64{}} }

func (p *pool) take(who string, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[who]+n > p.total-p.used {
		return false
	}
	p.held[who] += n
	p.used += n
	return true
}

// resize changes how much there is; what is held stays held.
func (p *pool) resize(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
}

func (p *pool) leave(who string, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= n
	if p.held[who] -= n; p.held[who] == 0 {
		delete(p.held, who)
	}
}

// calm says that most of it is free.
func (p *pool) calm() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used < p.total/4
}

// account is whom a user's requests are counted for. Whoever may write into a namespace
// makes as many service accounts as they like: all of a namespace's count as one.
func account(u *request.User) string {
	if rest, ok := strings.CutPrefix(u.Name, request.ServiceAccountPrefix); ok {
		namespace, _, _ := strings.Cut(rest, ":")
		return request.GroupServiceAccounts + ":" + namespace
	}
	return u.Name
}

// ofTheSystem says that a user is part of the cluster: a node, an administrator, a component
// or a service account of kube-system. No tenant has such a name.
func ofTheSystem(u *request.User) bool {
	switch {
	case classOf(u) != others:
		return true
	case strings.HasPrefix(u.Name, request.ServiceAccountPrefix):
		return strings.HasPrefix(u.Name, request.ServiceAccountPrefix+metav1.NamespaceSystem+":")
	}
	return strings.HasPrefix(u.Name, "system:") && u.Name != request.Anonymous
}
