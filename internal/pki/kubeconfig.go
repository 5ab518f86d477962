package pki

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig describes a kubeconfig file with embedded certificates.
type Kubeconfig struct {
	Cluster string // name shown to users: "hyperkube"
	Server  string // https://host:port
	User    Leaf   // a client certificate
	UserTag string // name of the user entry; empty: the common name
}

// EnsureKubeconfig keeps the file when it leads to the same server, trusts this
// CA and its certificate need not be renewed; else it writes it anew.
// Contexts a user added to the file stay: only our entries are replaced.
func (ca *CA) EnsureKubeconfig(file string, k Kubeconfig, now time.Time) (issued bool, err error) {
	present, err := clientcmd.LoadFromFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		present = api.NewConfig()
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("%w: run as the owner of the file (root)", err)
	case err != nil:
		return false, fmt.Errorf("%s is not a kubeconfig: %w: remove it, it is made anew", file, err)
	}
	k.UserTag = k.user()
	if ca.kubeconfigGood(present, k, now) {
		return false, os.Chmod(file, 0o600)
	}
	pair, err := ca.Issue(k.User, now)
	if err != nil {
		return false, err
	}
	ca.fillKubeconfig(present, k, pair)
	data, err := clientcmd.Write(*present)
	if err != nil {
		return false, fmt.Errorf("encoding kubeconfig: %w", err)
	}
	return true, WriteFile(file, data, 0o600)
}

// kubeconfigOld says that the certificate in a file, which has our user in it, is not good any
// more.
func (ca *CA) kubeconfigOld(file string, k Kubeconfig, now time.Time) (bool, error) {
	present, err := clientcmd.LoadFromFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s is not a kubeconfig: %w", file, err)
	}
	user := present.AuthInfos[k.user()]
	if user == nil {
		return false, nil
	}
	p, err := parsePair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return false, nil // a person's own way to be this user
	}
	return ca.ends(p.Cert, k.User, now), nil
}

func (k Kubeconfig) user() string { return cmp.Or(k.UserTag, k.User.CommonName) }

func (k Kubeconfig) context() string { return k.UserTag + "@" + k.Cluster }

func (ca *CA) kubeconfigGood(c *api.Config, k Kubeconfig, now time.Time) bool {
	cluster, user, ctx := c.Clusters[k.Cluster], c.AuthInfos[k.UserTag], c.Contexts[k.context()]
	if cluster == nil || user == nil || ctx == nil {
		return false
	}
	if cluster.Server != k.Server || !bytes.Equal(cluster.CertificateAuthorityData, ca.PEM) {
		return false
	}
	p, err := parsePair(user.ClientCertificateData, user.ClientKeyData)
	return err == nil && ca.Renew(p.Cert, k.User, now) == ""
}

func (ca *CA) fillKubeconfig(c *api.Config, k Kubeconfig, p *Pair) {
	cluster := api.NewCluster()
	cluster.Server, cluster.CertificateAuthorityData = k.Server, ca.PEM
	c.Clusters[k.Cluster] = cluster
	user := api.NewAuthInfo()
	user.ClientCertificateData, user.ClientKeyData = p.CertPEM, p.KeyPEM
	c.AuthInfos[k.UserTag] = user
	ctx := api.NewContext()
	ctx.Cluster, ctx.AuthInfo = k.Cluster, k.UserTag
	c.Contexts[k.context()] = ctx
	if c.CurrentContext == "" {
		c.CurrentContext = k.context()
	}
}
