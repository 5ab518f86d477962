package tokens

import (
	"crypto"
	"crypto/sha256"

	lru "github.com/hashicorp/golang-lru/v2"
)

// verifiedTokens bounds the memory of the signature cache (about 1 KB each).
const verifiedTokens = 8192

// keyset is the keys that verify at one time, and what follows from them: the tokens whose
// signature was found good, and the documents that tell others of the keys.
type keyset struct {
	of              []crypto.PublicKey
	keys            []verifier
	seen            *lru.Cache[[sha256.Size]byte, *verified]
	discovery, jwks []byte
}

// CheckKeys says whether all of keys can verify.
func CheckKeys(keys []crypto.PublicKey) error {
	for _, k := range keys {
		if _, err := newVerifier(k); err != nil {
			return err
		}
	}
	return nil
}

// others are the keys besides the signing one.
func (s *Service) others() []crypto.PublicKey {
	if s.cfg.VerifyKeys == nil {
		return nil
	}
	return s.cfg.VerifyKeys()
}

func (s *Service) newKeyset(others []crypto.PublicKey) (*keyset, error) {
	set := &keyset{of: others}
	publics := others
	if s.cfg.Key != nil {
		publics = append([]crypto.PublicKey{s.cfg.Key.Public()}, others...)
	}
	for _, p := range publics {
		v, err := newVerifier(p)
		if err != nil {
			return nil, err
		}
		set.keys = append(set.keys, v)
	}
	var err error
	if set.seen, err = lru.New[[sha256.Size]byte, *verified](verifiedTokens); err != nil {
		return nil, err
	}
	return set, s.document(set)
}

// current is the keyset of the keys that there are now. Keys that cannot be used change
// nothing: whoever reads them has checked them.
func (s *Service) current() *keyset {
	now, set := s.others(), s.set.Load()
	if same(now, set.of) {
		return set
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if set = s.set.Load(); same(now, set.of) {
		return set
	}
	next, err := s.newKeyset(now)
	if err != nil {
		return set
	}
	s.set.Store(next)
	return next
}

func same(a, b []crypto.PublicKey) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
