package authn

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/pki"
)

// FrontProxy trusts identity headers of clients whose certificate this CA
// signed (--requestheader-* flags).
type FrontProxy struct {
	CAs            *pki.Pool
	AllowedNames   []string // common names; empty: any signed by CAs
	UserHeaders    []string // X-Remote-User
	GroupHeaders   []string // X-Remote-Group
	ExtraPrefixes  []string // X-Remote-Extra-
	UIDHeaders     []string // X-Remote-Uid
	allHeaderNames []string
}

type frontProxy struct {
	cfg   FrontProxy
	certs *certificates
}

func newFrontProxy(c FrontProxy, now func() time.Time) *frontProxy {
	c.allHeaderNames = slices.Concat(c.UserHeaders, c.GroupHeaders, c.UIDHeaders)
	return &frontProxy{cfg: c, certs: newCertificates(c.CAs, now)}
}

// authenticate has no opinion when the client is not a front proxy; its headers
// are then left alone, and nobody else reads them.
func (p *frontProxy) authenticate(r *http.Request) (*request.User, bool, error) {
	name := first(r.Header, p.cfg.UserHeaders)
	if name == "" || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	k, err := p.certs.known(r.TLS.PeerCertificates)
	if err != nil {
		return nil, false, nil
	}
	if len(p.cfg.AllowedNames) > 0 && !slices.Contains(p.cfg.AllowedNames, k.user.Name) {
		return nil, false, errors.New("the front proxy's certificate has a common name that is not allowed")
	}
	u := &request.User{Name: name, UID: first(r.Header, p.cfg.UIDHeaders)}
	for _, h := range p.cfg.GroupHeaders {
		u.Groups = append(u.Groups, r.Header.Values(h)...)
	}
	u.Extra = p.extra(r.Header)
	if !u.In(groupAuthed) && !u.In(request.GroupUnauthenticated) {
		u.Groups = append(u.Groups, groupAuthed)
	}
	for _, h := range p.cfg.allHeaderNames {
		r.Header.Del(h)
	}
	return u, true, nil
}

func first(h http.Header, names []string) string {
	for _, n := range names {
		if v := h.Get(n); v != "" {
			return v
		}
	}
	return ""
}

// extra collects and removes the headers with one of the prefixes.
func (p *frontProxy) extra(h http.Header) map[string][]string {
	out := map[string][]string{}
	for name, values := range h {
		for _, prefix := range p.cfg.ExtraPrefixes {
			if len(name) <= len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
				continue
			}
			key := strings.ToLower(name[len(prefix):])
			if k, err := url.PathUnescape(key); err == nil {
				key = k
			}
			out[key] = append(out[key], values...)
			h.Del(name)
			break
		}
	}
	return out
}
