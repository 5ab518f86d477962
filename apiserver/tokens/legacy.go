package tokens

import (
	"errors"

	"hyperkube/apiserver/request"
)

// IssueLegacy signs the unbound, never expiring token that a Secret of type
// kubernetes.io/service-account-token carries. It is good only while the secret
// holds it.
func (s *Service) IssueLegacy(namespace, account, uid, secret string) (string, error) {
	if s.cfg.Key == nil {
		return "", errors.New("no service-account signing key: set --service-account-signing-key-file")
	}
	return s.sign.jwt(claims{
		Issuer: legacyIssuer, Subject: request.ServiceAccountPrefix + namespace + ":" + account,
		LegacyNamespace: namespace, LegacyAccount: account, LegacyAccountUID: uid, LegacySecret: secret,
	})
}
