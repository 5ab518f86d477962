package authn

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"hyperkube/apiserver/request"
	"hyperkube/internal/pki"
)

const (
	knownCerts  = 4096
	certMemory  = time.Minute // how long a verified chain is believed without looking again
	uidAttrOID  = "1.3.6.1.4.1.57683.2"
	groupAuthed = request.GroupAuthenticated
)

// certificates verifies client certificates against a pool.
type certificates struct {
	cas  *pki.Pool
	now  func() time.Time
	seen *lru.Cache[[sha256.Size]byte, *knownCert]
}

type knownCert struct {
	user         *request.User
	from, until  time.Time // validity of the certificate
	believeUntil time.Time
	pool         *x509.CertPool // that vouched for it
}

func newCertificates(cas *pki.Pool, now func() time.Time) *certificates {
	seen, err := lru.New[[sha256.Size]byte, *knownCert](knownCerts)
	if err != nil { // only for a size that is not positive
		panic(err)
	}
	return &certificates{cas: cas, now: now, seen: seen}
}

// user of the chain that the client presented, leaf first.
func (c *certificates) user(chain []*x509.Certificate) (*request.User, error) {
	k, err := c.known(chain)
	if err != nil {
		return nil, err
	}
	return k.user, nil
}

func (c *certificates) known(chain []*x509.Certificate) (*knownCert, error) {
	now, sum, pool := c.now(), sha256.Sum256(chain[0].Raw), c.cas.Certs()
	if k, ok := c.seen.Get(sum); ok && k.pool == pool && now.Before(k.believeUntil) && now.Before(k.until) && !now.Before(k.from) {
		return k, nil
	}
	if err := check(chain, pool, now); err != nil {
		return nil, err
	}
	leaf := chain[0]
	if leaf.Subject.CommonName == "" {
		return nil, errors.New("client certificate has no common name")
	}
	k := &knownCert{user: certUser(leaf), from: leaf.NotBefore, until: leaf.NotAfter, believeUntil: now.Add(certMemory), pool: pool}
	c.seen.Add(sum, k)
	return k, nil
}

func check(chain []*x509.Certificate, pool *x509.CertPool, now time.Time) error {
	between := x509.NewCertPool()
	for _, i := range chain[1:] {
		between.AddCert(i)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("verifying client certificate of %q: %w", chain[0].Subject.CommonName, err)
	}
	return nil
}

func certUser(leaf *x509.Certificate) *request.User {
	u := &request.User{Name: leaf.Subject.CommonName, Groups: make([]string, 0, len(leaf.Subject.Organization)+1)}
	u.Groups = append(append(u.Groups, leaf.Subject.Organization...), groupAuthed)
	for _, n := range leaf.Subject.Names {
		if s, ok := n.Value.(string); ok && n.Type.String() == uidAttrOID {
			u.UID = s
		}
	}
	sum := sha256.Sum256(leaf.Raw)
	u.Extra = map[string][]string{"authentication.kubernetes.io/credential-id": {fmt.Sprintf("X509SHA256=%x", sum)}}
	return u
}
