// Package discovery answers what is served here: the group list, the resources
// of each group-version, and both at once in the aggregated form that clients
// since 1.26 prefer.
//
//	/api, /apis                 group lists, or everything (aggregated, with ETag)
//	/api/v1, /apis/<g>          resources of core, versions of a group
//	/apis/<g>/<v>               resources of a group-version
//
// All of it is derived from the registry, encoded once in every format when it is
// first asked for after a change, and served as bytes. A change encodes anew the
// groups that it touches and the documents that list all.
package discovery

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apidiscoveryv2beta1 "k8s.io/api/apidiscovery/v2beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/registry"
)

const (
	mediaJSON     = "application/json"
	mediaProtobuf = "application/vnd.kubernetes.protobuf"
	aggregated    = "g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList"
)

// variant is one encoding of a document.
type variant struct {
	contentType string
	body        []byte
	etag        string // aggregated forms only
}

// document holds the encodings of one path by media type and aggregated
// version ("" for the plain form).
type document map[[2]string]variant

type handler struct{ documents *registry.Derived[*documents] }

var _ http.Handler = (*handler)(nil)

// New serves the documents of what r serves.
func New(r *registry.Registry) http.Handler { return &handler{registry.Derive(r, build)} }

// documents are all of a table, by path.
type documents struct {
	byPath map[string]document
	groups map[*registry.Group]map[string]document // those of each group
}

// build makes the documents of t; those of groups that did not change are taken over.
func build(t *registry.Table, before *documents) (*documents, error) {
	d := &documents{byPath: map[string]document{}, groups: map[*registry.Group]map[string]document{}}
	var core, named []*group
	for _, rg := range t.Groups() {
		g := describe(rg)
		if g.name == "" {
			core = append(core, g)
		} else {
			named = append(named, g)
		}
		var own map[string]document
		if before != nil {
			own = before.groups[rg]
		}
		if own == nil {
			own = map[string]document{}
			if err := addGroup(own, g); err != nil {
				return nil, err
			}
		}
		d.groups[rg] = own
		maps.Copy(d.byPath, own)
	}
	return d, addRoots(d.byPath, core, named)
}

func addRoots(to map[string]document, core, named []*group) error {
	versions := &metav1.APIVersions{
		TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
	}
	for _, g := range core {
		for _, v := range g.versions {
			versions.Versions = append(versions.Versions, v.name)
		}
	}
	list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range named {
		list.Groups = append(list.Groups, g.plain())
	}
	if err := add(to, "/api", versions, core); err != nil {
		return err
	}
	return add(to, "/apis", list, named)
}

func addGroup(to map[string]document, g *group) error {
	prefix := "/api"
	if g.name != "" {
		prefix = "/apis/" + g.name
		one := g.plain()
		one.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		if err := add(to, prefix, &one, nil); err != nil {
			return err
		}
	}
	for _, v := range g.versions {
		if err := add(to, prefix+"/"+v.name, v.plain(g.name), nil); err != nil {
			return err
		}
	}
	return nil
}

// add encodes the plain document of a path and, when groups are given, the aggregated ones.
func add(to map[string]document, path string, plain runtime.Object, groups []*group) error {
	doc := document{}
	to[path] = doc
	if err := doc.add("", plain); err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	if groups == nil {
		return nil
	}
	two := &apidiscoveryv2.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}}
	for _, g := range groups {
		two.Items = append(two.Items, g.aggregated())
	}
	if err := doc.add("v2", two); err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	// The beta form has the same fields under the same names.
	var beta apidiscoveryv2beta1.APIGroupDiscoveryList
	raw, err := json.Marshal(two)
	if err == nil {
		err = json.Unmarshal(raw, &beta)
	}
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	beta.APIVersion = "apidiscovery.k8s.io/v2beta1"
	if err := doc.add("v2beta1", &beta); err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return nil
}

func (d document) add(version string, obj runtime.Object) error {
	text, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	var binary bytes.Buffer
	if err := protobuf.NewSerializer(nil, nil).Encode(obj, &binary); err != nil {
		return err
	}
	for media, body := range map[string][]byte{mediaJSON: append(text, '\n'), mediaProtobuf: binary.Bytes()} {
		v := variant{contentType: media, body: body}
		if version != "" {
			sum := sha512.Sum512(body)
			v.contentType += ";" + fmt.Sprintf(aggregated, version)
			v.etag = `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
		}
		d[[2]string{media, version}] = v
	}
	return nil
}

// ServeHTTP answers GET and HEAD of the discovery paths.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	documents, err := h.documents.Get()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	doc, ok := documents.byPath[strings.TrimRight(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	v, ok := doc.negotiate(codec.Accept(r))
	if !ok {
		http.Error(w, "only the following media types are accepted: application/json, application/vnd.kubernetes.protobuf", http.StatusNotAcceptable)
		return
	}
	head := w.Header()
	head.Add("Vary", "Accept")
	head.Set("Content-Type", v.contentType)
	head.Set("Cache-Control", "public")
	if v.etag != "" {
		head.Set("ETag", v.etag)
		if r.Header.Get("If-None-Match") == v.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	_, _ = w.Write(v.body) // the client may be gone; nobody is left to tell
}

// negotiate picks the first acceptable form; a missing header accepts JSON.
func (d document) negotiate(asked string) (variant, bool) {
	if strings.TrimSpace(asked) == "" {
		asked = mediaJSON
	}
	for clause := range strings.SplitSeq(asked, ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(clause))
		if err != nil {
			continue
		}
		if media == "*/*" || media == "application/*" {
			media = mediaJSON
		}
		version := ""
		if as, set := params["as"]; set {
			if as != "APIGroupDiscoveryList" || params["g"] != "apidiscovery.k8s.io" {
				continue
			}
			version = params["v"]
		}
		if v, ok := d[[2]string{media, version}]; ok {
			return v, true
		}
	}
	return variant{}, false
}
