// Package openapi describes what is served here to clients: OpenAPI v3, one
// document a group-version, and v2, one for all. It is built from the Go types
// by reflection (struct tags, SwaggerDoc, patch tags), from api/structure (list
// types) and from the descriptors (paths and verbs); nothing is generated.
//
//	/openapi/v3                    index: path → URL with a content hash
//	/openapi/v3/apis/<g>/<v>       types.go (schemas) + paths.go (operations)
//	/openapi/v2                    the same under the older shape
//
// Nothing is built before somebody asks. What is built is kept compressed; the
// object trees are garbage at once.
package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/kind"
)

const (
	mediaJSON = "application/json"
	mediaV2   = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	mediaV3   = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
)

type object = map[string]any

// file is a document as it is kept.
type file struct {
	zipped []byte
	size   int
	hash   string // of the plain bytes
}

type handler struct {
	kinds []*kind.Kind
	v3    func() (map[string]*file, error) // by "api/v1", "apis/apps/v1"; "" is the index
	v2    func() (*file, error)
	mu    sync.Mutex
	proto map[string]*file // protobuf forms, by hash of the JSON
}

var _ http.Handler = (*handler)(nil)

// New prepares a handler for the OpenAPI paths of kinds.
func New(kinds []*kind.Kind) (http.Handler, error) {
	h := &handler{kinds: kinds, proto: map[string]*file{}}
	h.v3 = sync.OnceValues(h.buildV3)
	h.v2 = sync.OnceValues(h.buildV2)
	return h, nil
}

func info() object { return object{"title": "Kubernetes", "version": "v1.37.0"} }

// buildV3 makes one document for each group-version, and the index of them.
func (h *handler) buildV3() (map[string]*file, error) {
	files := map[string]*file{}
	index := object{}
	for _, gv := range groupVersions(h.kinds) {
		b := newTypes(three)
		paths := b.paths(h.kinds, gv)
		f, err := pack(object{
			"openapi": "3.0.0", "info": info(), "paths": paths,
			"components": object{"schemas": b.done(), "securitySchemes": object{"BearerToken": bearer()}},
		})
		if err != nil {
			return nil, fmt.Errorf("building OpenAPI of %v: %w", gv, err)
		}
		at := relative(gv)
		files[at] = f
		index[at] = object{"serverRelativeURL": "/openapi/v3/" + at + "?hash=" + f.hash}
	}
	f, err := pack(object{"paths": index})
	if err != nil {
		return nil, fmt.Errorf("building the OpenAPI index: %w", err)
	}
	files[""] = f
	return files, nil
}

func (h *handler) buildV2() (*file, error) {
	b := newTypes(two)
	paths := object{}
	for _, gv := range groupVersions(h.kinds) {
		for path, item := range b.paths(h.kinds, gv) {
			paths[path] = item
		}
	}
	f, err := pack(object{
		"swagger": "2.0", "info": info(), "paths": paths, "definitions": b.done(),
		"securityDefinitions": object{"BearerToken": bearer()}, "security": []any{object{"BearerToken": []string{}}},
	})
	if err != nil {
		return nil, fmt.Errorf("building OpenAPI v2: %w", err)
	}
	return f, nil
}

func bearer() object {
	return object{"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"}
}

func relative(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

func pack(doc object) (*file, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return packBytes(text)
}

func packBytes(text []byte) (*file, error) {
	sum := sha512.Sum512(text)
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return &file{zipped: bytes.Clone(b.Bytes()), size: len(text), hash: strings.ToUpper(hex.EncodeToString(sum[:]))}, nil
}

func (f *file) open() (io.Reader, error) { return gzip.NewReader(bytes.NewReader(f.zipped)) }

func (f *file) bytes() ([]byte, error) {
	r, err := f.open()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
