// Package openapi describes what is served here to clients: OpenAPI v3, one
// document a group-version, and v2, one for all. It is built from the Go types
// by reflection (struct tags, SwaggerDoc, patch tags), from api/structure (list
// types) and from the descriptors (paths and verbs); nothing is generated.
//
//	/openapi/v3                    index: path → URL with a content hash
//	/openapi/v3/apis/<g>/<v>       types.go (schemas) + paths.go (operations)
//	/openapi/v2                    the same under the older shape
//
// Nothing is built before somebody asks, and a change of what is served builds
// anew only the group-versions that it touches. What is built is kept compressed;
// the object trees are garbage at once.
package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/registry"
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

	mu     sync.Mutex
	binary *file // the protobuf form, once somebody asked for it
}

type handler struct {
	v3 *registry.Derived[*versions]
	v2 *registry.Derived[*file]
}

// versions are the documents of a table.
type versions struct {
	byName map[string]*file // by "api/v1", "apis/apps/v1"; "" is the index
	of     map[*registry.Version]*file
}

var _ http.Handler = (*handler)(nil)

// New serves the OpenAPI paths of what r serves.
func New(r *registry.Registry) http.Handler {
	return &handler{v3: registry.Derive(r, buildV3), v2: registry.Derive(r, buildV2)}
}

func info() object { return object{"title": "Kubernetes", "version": "v1.37.0"} }

// buildV3 makes one document for each group-version, and the index of them.
func buildV3(t *registry.Table, before *versions) (*versions, error) {
	out := &versions{byName: map[string]*file{}, of: map[*registry.Version]*file{}}
	index := object{}
	for v := range each(t) {
		var f *file
		if before != nil {
			f = before.of[v]
		}
		if f == nil {
			var err error
			if f, err = build(v); err != nil {
				return nil, fmt.Errorf("building OpenAPI of %v: %w", v.GroupVersion, err)
			}
		}
		at := relative(v.GroupVersion)
		out.byName[at], out.of[v] = f, f
		index[at] = object{"serverRelativeURL": "/openapi/v3/" + at + "?hash=" + f.hash}
	}
	f, err := pack(object{"paths": index})
	if err != nil {
		return nil, fmt.Errorf("building the OpenAPI index: %w", err)
	}
	out.byName[""] = f
	return out, nil
}

// build makes the document of a group-version.
func build(v *registry.Version) (*file, error) {
	b := newTypes(three)
	paths := b.paths(v)
	return pack(object{
		"openapi": "3.0.0", "info": info(), "paths": paths,
		"components": object{"schemas": b.done(), "securitySchemes": object{"BearerToken": bearer()}},
	})
}

func buildV2(t *registry.Table, _ *file) (*file, error) {
	b := newTypes(two)
	paths := object{}
	for v := range each(t) {
		maps.Copy(paths, b.paths(v))
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

// each goes through the group-versions of t.
func each(t *registry.Table) iter.Seq[*registry.Version] {
	return func(yield func(*registry.Version) bool) {
		for _, g := range t.Groups() {
			for _, v := range g.Versions {
				if !yield(v) {
					return
				}
			}
		}
	}
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
