package connect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
)

// apiServerName is among the names of every API server's certificate.
const apiServerName = "kubernetes.default.svc"

// kubelets keeps a transport for each node: a connection that was opened for one
// node must not serve another that reports the same address.
type kubelets struct {
	deps   Deps
	config *tls.Config
	byNode *lru.Cache[string, *http.Transport]
}

func newKubelets(d Deps, c *tls.Config) (*kubelets, error) {
	byNode, err := lru.NewWithEvict(bounds.Kubelets, func(_ string, t *http.Transport) { t.CloseIdleConnections() })
	if err != nil {
		return nil, err
	}
	return &kubelets{deps: d, config: c, byNode: byNode}, nil
}

// of is the transport to the kubelet of the node.
func (k *kubelets) of(node string) *http.Transport {
	if t, ok := k.byNode.Get(node); ok {
		return t
	}
	c := k.config.Clone()
	if !c.InsecureSkipVerify {
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyNode(s.PeerCertificates, node) }
	}
	t := transport(k.deps, c)
	if before, ok, _ := k.byNode.PeekOrAdd(node, t); ok {
		return before
	}
	return t
}

func (k *kubelets) close() { k.byNode.Purge() }

// verifyNode runs after the chain and the address were verified. A node says
// itself where its kubelet is; the certificate must not be that of another node,
// nor that of an API server, which would take what is sent for a request of this
// one. Certificates made by hand, which name neither, are good by their address.
func verifyNode(chain []*x509.Certificate, node string) error {
	if len(chain) == 0 {
		return errors.New("the kubelet showed no certificate")
	}
	leaf := chain[0]
	if name, ok := strings.CutPrefix(leaf.Subject.CommonName, request.NodeUserPrefix); ok && name != node {
		return fmt.Errorf("the address of node %q is served with the certificate of node %q", node, name)
	}
	if leaf.VerifyHostname(apiServerName) == nil {
		return fmt.Errorf("the address of node %q is served with the certificate of an API server", node)
	}
	return nil
}
