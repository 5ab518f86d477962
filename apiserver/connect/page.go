package connect

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"golang.org/x/net/html"

	"hyperkube/internal/bounds"
)

// pages makes what a backend answers usable below the path that the proxy has: redirects and
// the links of HTML that lead to the backend lead to the proxy. A page is rewritten while it
// is read, so that however long one is nothing but a tag or a piece of text is kept.
type pages struct {
	http.RoundTripper
	prefix string // the proxy's path, which stands for the backend's root
}

// RoundTrip implements http.RoundTripper.
func (p pages) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Forwarded-Uri", below(p.prefix, r.URL.EscapedPath()))
	resp, err := p.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, h := range []string{"Credentials", "Headers", "Methods", "Origin"} { // the backend does not speak for this origin
		resp.Header.Del("Access-Control-Allow-" + h)
	}
	link := func(s string) string { return p.link(s, r) }
	if to := resp.Header.Get("Location"); to != "" {
		resp.Header.Set("Location", link(to))
		return resp, nil
	}
	if r.Method == http.MethodHead || resp.StatusCode == http.StatusSwitchingProtocols || resp.ContentLength == 0 {
		return resp, nil
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/html" {
		return resp, nil
	}
	plain, err := expanded(resp)
	if err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("reading the page: %w", err)
	}
	if plain == nil {
		return resp, nil
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	resp.Body = newPage(plain, resp.Body, link)
	return resp, nil
}

// expanded reads what was compressed; nil when it is in a way that is not known.
func expanded(resp *http.Response) (io.Reader, error) {
	switch resp.Header.Get("Content-Encoding") {
	case "":
		return resp.Body, nil
	case "gzip":
		return gzip.NewReader(resp.Body)
	case "deflate":
		return flate.NewReader(resp.Body), nil
	}
	return nil, nil
}

// link is where a link of the backend's leads through the proxy. Relative ones stay, and
// those to elsewhere.
func (p pages) link(s string, r *http.Request) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	if u.Host != "" && u.Host != r.URL.Host && u.Host != r.Host || !strings.HasPrefix(u.Path, "/") {
		return s
	}
	u.Scheme, u.Host = "", ""
	if u.Path != p.prefix && !strings.HasPrefix(u.Path, p.prefix+"/") {
		u.Path, u.RawPath = below(p.prefix, u.Path), ""
	}
	return u.String()
}

// below joins the two and keeps a slash at the end.
func below(prefix, rest string) string {
	joined := path.Join(prefix, rest)
	if strings.HasSuffix(rest, "/") && !strings.HasSuffix(joined, "/") {
		joined += "/"
	}
	return joined
}

// page is HTML with its links replaced.
type page struct {
	io.Closer
	from   io.Reader
	tokens *html.Tokenizer
	link   func(string) string
	out    []byte    // to be read; valid until the next token
	rest   io.Reader // what is passed on as it is; nil while there are tokens
}

func newPage(from io.Reader, c io.Closer, link func(string) string) *page {
	p := &page{Closer: c, from: from, tokens: html.NewTokenizer(from), link: link}
	p.tokens.SetMaxBuf(bounds.PageToken)
	return p
}

// Read implements io.Reader.
func (p *page) Read(b []byte) (n int, err error) {
	for n < len(b) {
		switch {
		case len(p.out) > 0:
			k := copy(b[n:], p.out)
			p.out, n = p.out[k:], n+k
		case p.rest == nil:
			p.next()
		case n > 0:
			return n, nil
		default:
			return p.rest.Read(b)
		}
	}
	return n, nil
}

// next takes one token. After one that is too long nothing is rewritten.
func (p *page) next() {
	switch p.tokens.Next() {
	case html.ErrorToken:
		p.out = append(p.tokens.Raw(), p.tokens.Buffered()...)
		if p.rest = p.from; !errors.Is(p.tokens.Err(), html.ErrBufferExceeded) {
			p.rest = ended{p.tokens.Err()}
		}
	case html.StartTagToken, html.SelfClosingTagToken:
		p.out = p.tag(p.tokens.Raw())
	default:
		p.out = p.tokens.Raw()
	}
}

// tag is a start tag, as it was written unless a link of it leads elsewhere.
func (p *page) tag(raw []byte) []byte {
	as := append([]byte(nil), raw...) // reading the token changes what it was read from
	t, changed := p.tokens.Token(), false
	for i, a := range t.Attr {
		if !leads(t.Data, a.Key) {
			continue
		}
		if to := p.link(a.Val); to != a.Val {
			t.Attr[i].Val, changed = to, true
		}
	}
	if !changed {
		return as
	}
	return []byte(t.String())
}

// leads tells the attributes that hold an address.
func leads(tag, attribute string) bool {
	switch attribute {
	case "href", "src", "action", "formaction", "cite", "longdesc", "poster", "background", "codebase", "classid", "profile", "manifest", "usemap":
		return true
	case "data":
		return tag == "object"
	case "icon":
		return tag == "command"
	}
	return false
}

// ended is a reader that has nothing more.
type ended struct{ err error }

// Read implements io.Reader.
func (e ended) Read([]byte) (int, error) { return 0, e.err }
