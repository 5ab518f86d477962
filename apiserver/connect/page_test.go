package connect

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/proxy"

	"hyperkube/internal/bounds"
)

// answering is a backend.
type answering func(*http.Request) *http.Response

// RoundTrip implements http.RoundTripper.
func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func htmlOf(body string, header ...string) answering {
	return func(r *http.Request) *http.Response {
		h := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: 200, Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)), Request: r}
	}
}

const prefix = "/api/v1/namespaces/a/pods/one/proxy"

func through(t *testing.T, rt http.RoundTripper) (*http.Response, string) {
	t.Helper()
	u, _ := url.Parse("http://10.0.0.1:80/dir/page")
	resp, err := rt.RoundTrip(&http.Request{Method: "GET", URL: u, Host: "10.0.0.1:80", Header: http.Header{}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestPages: links come out as those of the client library's transport, which keeps a whole page.
func TestPages(t *testing.T) {
	for name, in := range map[string]string{
		"links":      `<a href="/x">1</a><a href='y'>2</a><a href="http://other/z">4</a><a href="/q/?a=b#c">5</a><a href="#f">6</a>`,
		"elements":   `<!doctype html><html><head><link rel=stylesheet href=/a.css><base href="/"><script src="/a.js"></script></head><body><img src="/i.png"><form action="/f"><button formaction="/g"></button></form><video poster="/p" src="/v"/><object data="/d"></object><p data="/d">`,
		"the proxy":  `<a href="` + prefix + `/x">again</a>`,
		"script":     `<script>if (a<b) location="/x" </script><a href="/y">`,
		"odd":        `<a href="/%zz">1</a><a href=":::">2</a><<a <b href=/x>&amp;&lt;<a href="/a&amp;b">`,
		"unfinished": `<p>text <a href="/x`,
		"nothing":    ``,
	} {
		_, want := through(t, &proxy.Transport{PathPrepend: prefix, RoundTripper: htmlOf(in)})
		_, got := through(t, pages{htmlOf(in), prefix})
		if norm(got) != norm(want) && name != "unfinished" {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
		if name == "unfinished" && got != in {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// norm reads a page as a browser does: quotes and the like are not what it says.
func norm(s string) string { return strings.NewReplacer(`'`, ``, `"`, ``, `/>`, `>`).Replace(s) }

// TestPagesPassedOn: what is no page, or a page in parts too long to be kept, arrives as it is.
func TestPagesPassedOn(t *testing.T) {
	long := strings.Repeat("x", 2*bounds.PageToken)
	for name, in := range map[string]string{
		"text":   "<a href=/before>" + long + "<a href=/x>",
		"tag":    "<a href='" + long + "'><a href=/x>",
		"script": "<script>" + long + "</script><a href=/x>",
	} {
		_, got := through(t, pages{htmlOf(in), prefix})
		if want := strings.Replace(in, "<a href=/before>", `<a href="`+prefix+`/before">`, 1); got != want {
			t.Errorf("%s: %d bytes of %d, %.80q", name, len(got), len(want), got)
		}
	}
	if resp, got := through(t, pages{htmlOf("<a href=/x>", "Content-Type", "text/plain"), prefix}); got != "<a href=/x>" || resp.ContentLength != int64(len(got)) {
		t.Errorf("plain text: %q", got)
	}
	if _, got := through(t, pages{htmlOf("<a href=/x>", "Content-Encoding", "br"), prefix}); got != "<a href=/x>" {
		t.Errorf("unknown encoding: %q", got)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, "<a href=/x>")
	_ = w.Close()
	if resp, got := through(t, pages{htmlOf(packed.String(), "Content-Encoding", "gzip"), prefix}); got != `<a href="`+prefix+`/x">` || resp.Header.Get("Content-Encoding") != "" || resp.ContentLength != -1 {
		t.Errorf("gzip: %q %v", got, resp.Header)
	}
	if _, got := through(t, pages{htmlOf("<a href=http://10.0.0.1:80/x/>"), prefix}); got != `<a href="`+prefix+`/x/">` {
		t.Errorf("the backend's own address: %q", got)
	}
	resp, _ := through(t, pages{htmlOf("", "Location", "/login?a=b", "Access-Control-Allow-Origin", "*"), prefix})
	if got := resp.Header.Get("Location"); got != prefix+"/login?a=b" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("redirect: %v", resp.Header)
	}
}
