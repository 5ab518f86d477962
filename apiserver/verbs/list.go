package verbs

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/request"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	internalvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func (c *call) list() error {
	o, err := c.listOptions()
	if err != nil {
		return err
	}
	lo, err := c.listRequest(o)
	if err != nil {
		return err
	}
	l, err := c.ep.Collection.List(c.ctx, lo)
	if err != nil {
		return c.explainList(err, lo)
	}
	if l.Unreadable > 0 {
		request.Warn(c.ctx, fmt.Sprintf("%d stored %s cannot be read and are not listed; the server's log names them", l.Unreadable, c.ep.GroupResource()))
	}
	return c.sendList(l)
}

// explainList also knows the errors of continue tokens. A client that does not
// mind a list of two revisions may go on with the token in the Status.
func (c *call) explainList(err error, lo store.ListOptions) error {
	if errors.Is(err, store.ErrBadToken) {
		return apierrors.NewBadRequest(err.Error())
	}
	if lo.Continue == "" || !errors.Is(err, store.ErrExpired) {
		return c.explain(err, "")
	}
	st := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response " +
		"to retrieve the remainder of the results; those may be inconsistent with the ones you have.")
	var expired *store.ExpiredTokenError
	if errors.As(err, &expired) {
		st.ErrStatus.Continue = expired.Continue
	}
	return st
}

// listOptions reads and checks the query of list, watch and deletecollection.
func (c *call) listOptions() (*metav1.ListOptions, error) {
	o := &metav1.ListOptions{}
	if c.query != nil {
		if err := metav1.Convert_url_Values_To_v1_ListOptions(&c.query, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	o.Watch = c.info.Verb == "watch"
	o.FieldSelector, o.LabelSelector = c.info.FieldSelector, c.info.LabelSelector // as they were authorized
	return o, checkListOptions(o)
}

func checkListOptions(o *metav1.ListOptions) error {
	errs := internalvalidation.ValidateListOptions(&internalversion.ListOptions{
		Watch: o.Watch, ResourceVersion: o.ResourceVersion, ResourceVersionMatch: o.ResourceVersionMatch,
		Limit: o.Limit, Continue: o.Continue, SendInitialEvents: o.SendInitialEvents,
	}, true)
	if len(errs) > 0 {
		return invalid.New(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	return nil
}

func (c *call) listRequest(o *metav1.ListOptions) (store.ListOptions, error) {
	lo, err := c.ep.listRequest(c.key.Namespace, o)
	if err == nil {
		err = c.onlyNamed(&lo.Filter)
	}
	return lo, err
}

// onlyNamed holds a list, watch or deletecollection to the name it was authorized
// for, whether that stood in the path or in the selector.
func (c *call) onlyNamed(f *store.Filter) error {
	switch {
	case c.info.Name == "" || f.Name == c.info.Name:
		return nil
	case c.info.FieldSelector != "":
		return apierrors.NewBadRequest("fieldSelector metadata.name doesn't match requested name")
	}
	f.Name = c.info.Name
	return nil
}

// listRequest gives resourceVersion and resourceVersionMatch their meaning.
func (e endpoint) listRequest(namespace string, o *metav1.ListOptions) (store.ListOptions, error) {
	lo := store.ListOptions{Limit: o.Limit, Continue: o.Continue}
	var err error
	if lo.Filter, err = e.filter(namespace, o); err != nil {
		return lo, err
	}
	rv, err := parseRevision(o.ResourceVersion)
	if err != nil {
		return lo, err
	}
	switch {
	case o.Continue != "":
		if rv > 0 {
			return lo, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
		}
	case o.ResourceVersion == "":
	case o.ResourceVersionMatch == metav1.ResourceVersionMatchExact, o.ResourceVersionMatch == "" && o.Limit > 0 && rv > 0:
		lo.Exact = rv
	case rv == 0:
		lo.Any, lo.Limit = true, 0 // a cached list is answered whole
	default:
		lo.Min = rv
	}
	return lo, nil
}

func (c *call) sendList(l *store.List) error {
	p := c.scratch()
	defer c.recycle(p)
	h := c.w.Header()
	h.Set("Content-Type", c.media.Wire.String())
	h.Set("Cache-Control", "no-cache, private")
	w := &listWriter{ResponseWriter: c.w}
	if worthPacking(c.r) {
		h.Add("Vary", "Accept-Encoding")
		w.pack = true
	}
	out, err := c.ep.View.WriteList(w, c.media, l, *p)
	*p = out
	if err == nil {
		err = w.close()
	}
	if w.begun {
		return nil // too late for a Status; the body is cut short
	}
	return err
}

// listWriter sends small lists with their length and packs large ones when asked.
type listWriter struct {
	http.ResponseWriter
	pack, begun bool
	gz          *gzip.Writer
	sized       bool
}

// packAt is the size of the first piece from which packing pays: a list of more
// than one.
const packAt = 16000

// SetSize takes the length of the answer where it is known beforehand.
func (w *listWriter) SetSize(n int) {
	if !w.pack || n < packAt {
		w.sized = true
		w.Header().Set("Content-Length", strconv.Itoa(n))
	}
}

func (w *listWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		switch {
		case w.sized:
		case w.pack && len(p) >= packAt:
			w.Header().Set("Content-Encoding", "gzip")
			w.gz, _ = gzip.NewWriterLevel(w.ResponseWriter, gzip.BestSpeed) // the level is valid
		}
	}
	if w.gz != nil {
		return w.gz.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

func (w *listWriter) close() error {
	if w.gz != nil {
		return w.gz.Close()
	}
	return nil
}

var _ io.Writer = (*listWriter)(nil)

// worthPacking: the client takes gzip and is on another machine. On this one the
// bytes cost less than the packing.
func worthPacking(r *http.Request) bool {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		return false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.IsLoopback() {
		return false
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && local.IP.Equal(ip) {
		return false
	}
	return true
}
