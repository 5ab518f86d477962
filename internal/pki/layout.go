package pki

import "path/filepath"

// Layout names the files of a cluster: Dir is what kubeadm calls
// /etc/kubernetes/pki, Conf holds the kubeconfig files (/etc/kubernetes).
type Layout struct{ Dir, Conf string }

// NewLayout puts kubeconfigs into dir and certificates into dir/pki.
func NewLayout(dir string) Layout { return Layout{Dir: filepath.Join(dir, "pki"), Conf: dir} }

// Names of pairs, for Cert and Key.
const (
	NameCA                  = "ca"
	NameAPIServer           = "apiserver"
	NameKubeletClient       = "apiserver-kubelet-client"
	NameFrontProxyCA        = "front-proxy-ca"
	NameFrontProxyClient    = "front-proxy-client"
	NameEtcdCA              = "etcd/ca"
	NameEtcdServer          = "etcd/server"
	NameEtcdPeer            = "etcd/peer"
	NameEtcdHealthcheck     = "etcd/healthcheck-client"
	NameAPIServerEtcdClient = "apiserver-etcd-client"
)

// Kubeconfig files.
const (
	ConfAdmin             = "admin.conf"
	ConfControllerManager = "controller-manager.conf"
	ConfScheduler         = "scheduler.conf"
	ConfKubelet           = "kubelet.conf"
	ConfProxy             = "kube-proxy.conf"
)

// Cert is the certificate file of a pair, Key its key file.
func (l Layout) Cert(name string) string { return filepath.Join(l.Dir, name+".crt") }
func (l Layout) Key(name string) string  { return filepath.Join(l.Dir, name+".key") }

// ServiceAccountKey signs tokens, ServiceAccountPub verifies them.
func (l Layout) ServiceAccountKey() string { return filepath.Join(l.Dir, "sa.key") }
func (l Layout) ServiceAccountPub() string { return filepath.Join(l.Dir, "sa.pub") }

// Kubeconfig is the path of one of the Conf names. Further nodes have their own
// kubelet file, see KubeletConf.
func (l Layout) Kubeconfig(name string) string { return filepath.Join(l.Conf, name) }

// KubeletName is the pair with which a node's kubelet serves.
func KubeletName(node string) string { return "kubelet-" + node }

// KubeletConf is the kubeconfig of a node's kubelet when several nodes share
// one machine.
func KubeletConf(node string) string { return "kubelet-" + node + ".conf" }
