package pki

import (
	"crypto"
	"errors"
	"net"
	"sync"
	"time"
)

// Options of a control plane's files.
type Options struct {
	Layout  Layout
	Cluster string // name in kubeconfigs; empty: "hyperkube"
	// Server is the URL in kubeconfigs, LocalServer (optional) the one that the
	// control plane's own roles use.
	Server, LocalServer string
	// Names and IPs of the API server beyond the standard ones (kubernetes,
	// kubernetes.default, …, localhost, 127.0.0.1, ::1).
	Names         []string
	IPs           []net.IP
	ServiceIP     net.IP   // the address of the kubernetes service
	ClusterDomain string   // empty: cluster.local
	EtcdNames     []string // further names and addresses of the etcd member
	EtcdIPs       []net.IP
	Nodes         []Node
	Now           time.Time
	// Known says that the CAs and the service-account key were made before: what is
	// missing is lost. NewCA and NewServiceAccount give up lost or expired ones.
	Known, NewCA, NewServiceAccount bool
	// Renewal says that the cluster runs: only what was issued here, is there and not good
	// any more is issued anew. What a person took away, put there or gave other modes to is
	// left as it is.
	Renewal bool
}

// Node is a kubelet whose files are made here.
type Node struct {
	Name string
	IPs  []net.IP
	// Server, when set, is the API server's URL as this node reaches it.
	Server string
}

// Files is what Ensure leaves: the parsed material, so that nobody reads it again.
type Files struct {
	Layout                   Layout
	CA, FrontProxyCA, EtcdCA *CA
	APIServer                *Pair
	KubeletClient            *Pair // with which the API server talks to kubelets
	FrontProxyClient         *Pair
	EtcdServer, EtcdPeer     *Pair
	EtcdClient               *Pair
	ServiceAccount           crypto.Signer
	Kubelets                 map[string]*Pair // serving pairs by node
	// Issued names the files that were written this time.
	Issued []string
}

// Ensure makes or completes the files of a control plane and its nodes.
func Ensure(o Options) (*Files, error) {
	if o.Cluster == "" {
		o.Cluster = "hyperkube"
	}
	if o.ClusterDomain == "" {
		o.ClusterDomain = "cluster.local"
	}
	if o.LocalServer == "" {
		o.LocalServer = o.Server
	}
	m := &maker{o: o, f: &Files{Layout: o.Layout, Kubelets: map[string]*Pair{}}}
	l := o.Layout
	err := m.all(
		m.ca(&m.f.CA, NameCA, "kubernetes"),
		m.ca(&m.f.FrontProxyCA, NameFrontProxyCA, "front-proxy-ca"),
		m.ca(&m.f.EtcdCA, NameEtcdCA, "etcd-ca"),
		func() (err error) {
			m.f.ServiceAccount, err = EnsureSigningKey(l.ServiceAccountKey(), l.ServiceAccountPub(), Making{o.Known, o.NewServiceAccount, o.Now})
			return err
		},
	)
	if err != nil {
		return nil, err
	}
	jobs := append(m.pairs(), m.kubeconfigs()...)
	for _, n := range o.Nodes {
		jobs = append(jobs, m.node(n)...)
	}
	if err := m.all(jobs...); err != nil {
		return nil, err
	}
	return m.f, nil
}

// maker runs the jobs of one Ensure side by side: what takes time is waiting
// for the disk.
type maker struct {
	o  Options
	f  *Files
	mu sync.Mutex // guards f.Issued and f.Kubelets
}

func (m *maker) all(jobs ...func() error) error {
	errs := make([]error, len(jobs))
	var wg sync.WaitGroup
	for i, job := range jobs {
		wg.Go(func() { errs[i] = job() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (m *maker) ca(to **CA, file, name string) func() error {
	return func() (err error) {
		*to, err = EnsureCA(m.o.Layout.Cert(file), m.o.Layout.Key(file), name, Making{m.o.Known, m.o.NewCA, m.o.Now})
		return err
	}
}

func (m *maker) pair(to **Pair, ca *CA, name string, l Leaf) func() error {
	return func() error {
		if m.o.Renewal && !ca.due(m.o.Layout.Cert(name), l, m.o.Now) {
			return nil
		}
		p, issued, err := ca.Ensure(m.o.Layout.Cert(name), m.o.Layout.Key(name), l, m.o.Now)
		m.note(issued, m.o.Layout.Cert(name))
		if to != nil {
			*to = p
		}
		return err
	}
}

func (m *maker) note(issued bool, file string) {
	if issued {
		m.mu.Lock()
		m.f.Issued = append(m.f.Issued, file)
		m.mu.Unlock()
	}
}

func (m *maker) pairs() []func() error {
	f, o := m.f, m.o
	local := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	api := Leaf{
		CommonName: "kube-apiserver", Server: true,
		DNSNames: append([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + o.ClusterDomain, "localhost"}, o.Names...),
		IPs: append(append([]net.IP{}, local...), o.IPs...),
	}
	if o.ServiceIP != nil {
		api.IPs = append(api.IPs, o.ServiceIP)
	}
	etcd := func(cn string) Leaf {
		return Leaf{CommonName: cn, Server: true, Client: true,
			DNSNames: append([]string{"localhost"}, o.EtcdNames...), IPs: append(append([]net.IP{}, local...), o.EtcdIPs...)}
	}
	return []func() error{
		m.pair(&f.APIServer, f.CA, NameAPIServer, api),
		m.pair(&f.KubeletClient, f.CA, NameKubeletClient, Leaf{CommonName: KubeletClientUser, Client: true}),
		m.pair(&f.FrontProxyClient, f.FrontProxyCA, NameFrontProxyClient, Leaf{CommonName: "front-proxy-client", Client: true}),
		m.pair(&f.EtcdServer, f.EtcdCA, NameEtcdServer, etcd("etcd-server")),
		m.pair(&f.EtcdPeer, f.EtcdCA, NameEtcdPeer, etcd("etcd-peer")),
		m.pair(nil, f.EtcdCA, NameEtcdHealthcheck, Leaf{CommonName: "kube-etcd-healthcheck-client", Client: true}),
		m.pair(&f.EtcdClient, f.EtcdCA, NameAPIServerEtcdClient, Leaf{CommonName: "kube-apiserver-etcd-client", Client: true}),
	}
}

func (m *maker) kubeconfigs() []func() error {
	o := m.o
	return []func() error{
		m.kubeconfig(ConfAdmin, o.Server, Leaf{CommonName: "kubernetes-admin", Organization: []string{"system:masters"}, Client: true}),
		m.kubeconfig(ConfControllerManager, o.LocalServer, Leaf{CommonName: "system:kube-controller-manager", Client: true}),
		m.kubeconfig(ConfScheduler, o.LocalServer, Leaf{CommonName: "system:kube-scheduler", Client: true}),
		m.kubeconfig(ConfProxy, o.Server, Leaf{CommonName: "system:kube-proxy", Client: true}),
	}
}

func (m *maker) kubeconfig(name, server string, user Leaf) func() error {
	return func() error {
		file := m.o.Layout.Kubeconfig(name)
		k := Kubeconfig{Cluster: m.o.Cluster, Server: server, User: user}
		if m.o.Renewal {
			if old, err := m.f.CA.kubeconfigOld(file, k, m.o.Now); err != nil || !old {
				return err
			}
		}
		issued, err := m.f.CA.EnsureKubeconfig(file, k, m.o.Now)
		m.note(issued, file)
		return err
	}
}

// KubeletClientUser is who the API server is to kubelets: a user with no rights but
// those on nodes that ClusterRole system:kubelet-api-admin has. A node that leads
// the API server to some other server hands over no more than that.
const KubeletClientUser = "kube-apiserver-kubelet-client"

// NodeClient is the identity with which a kubelet talks to the API server,
// NodeServer the one it serves under.
func NodeClient(node string) Leaf {
	return Leaf{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}, Client: true}
}
func NodeServer(n Node) Leaf {
	return Leaf{CommonName: "system:node:" + n.Name, Organization: []string{"system:nodes"}, Server: true,
		DNSNames: []string{n.Name, "localhost"}, IPs: append([]net.IP{net.IPv4(127, 0, 0, 1)}, n.IPs...)}
}

func (m *maker) node(n Node) []func() error {
	server := n.Server
	if server == "" {
		server = m.o.LocalServer
	}
	conf := KubeletConf(n.Name)
	if len(m.o.Nodes) == 1 {
		conf = ConfKubelet
	}
	return []func() error{
		func() error {
			var p *Pair
			err := m.pair(&p, m.f.CA, KubeletName(n.Name), NodeServer(n))()
			m.mu.Lock()
			m.f.Kubelets[n.Name] = p
			m.mu.Unlock()
			return err
		},
		m.kubeconfig(conf, server, NodeClient(n.Name)),
	}
}
