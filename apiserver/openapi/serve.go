package openapi

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"

	"hyperkube/apiserver/codec"
)

// ServeHTTP answers GET and HEAD of /openapi/v2, /openapi/v3 and below.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/openapi/"), "/")
	switch {
	case path == "v2":
		f, err := h.v2.Get()
		h.send(w, r, f, mediaV2, err)
	case path == "v3" || strings.HasPrefix(path, "v3/"):
		h.serveV3(w, r, strings.Trim(strings.TrimPrefix(path, "v3"), "/"))
	default:
		http.NotFound(w, r)
	}
}

func (h *handler) serveV3(w http.ResponseWriter, r *http.Request, name string) {
	docs, err := h.v3.Get()
	if err != nil {
		h.send(w, r, nil, "", err)
		return
	}
	f, ok := docs.byName[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if asked := r.URL.Query().Get("hash"); asked != "" && name != "" {
		if asked != f.hash {
			http.Redirect(w, r, "/openapi/v3/"+name+"?hash="+f.hash, http.StatusMovedPermanently)
			return
		}
		// The URL names its content: it can be kept for ever.
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().Add(365*24*time.Hour).UTC().Format(http.TimeFormat))
	}
	binary := mediaV3
	if name == "" {
		binary = ""
	}
	h.send(w, r, f, binary, nil)
}

// send answers with f as JSON or, when the client prefers it, as the protobuf form.
func (h *handler) send(w http.ResponseWriter, r *http.Request, f *file, binary string, err error) {
	media := mediaJSON
	if err == nil {
		media = negotiate(codec.Accept(r), binary)
		if media != mediaJSON && media != "" {
			f, err = f.protobuf(media)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if media == "" {
		http.Error(w, "not acceptable", http.StatusNotAcceptable)
		return
	}
	head := w.Header()
	head.Add("Vary", "Accept")
	head.Add("Vary", "Accept-Encoding")
	head.Set("Content-Type", strings.Replace(media, "@", ".", 1)) // "@" may not stand in a media type
	head.Set("ETag", `"`+f.hash+`"`)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Trim(match, `"`) == f.hash {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		head.Set("Content-Encoding", "gzip")
		head.Set("Content-Length", strconv.Itoa(len(f.zipped)))
		_, _ = w.Write(f.zipped) // the client may be gone; nobody is left to tell
		return
	}
	body, err := f.open()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	head.Set("Content-Length", strconv.Itoa(f.size))
	_, _ = io.Copy(w, body)
}

// negotiate picks JSON or the binary form, whichever is named first; "" is neither.
func negotiate(asked, binary string) string {
	if strings.TrimSpace(asked) == "" {
		return mediaJSON
	}
	for clause := range strings.SplitSeq(asked, ",") {
		media, _, err := mime.ParseMediaType(strings.TrimSpace(clause))
		if err != nil {
			media = strings.TrimSpace(strings.SplitN(clause, ";", 2)[0]) // "@" is not a token character
		}
		switch media {
		case "*/*", "application/*", mediaJSON:
			return mediaJSON
		case binary, strings.Replace(binary, "@", ".", 1):
			if binary != "" {
				return binary
			}
		}
	}
	return ""
}

// protobuf is the document's other form, converted once and kept with it.
func (f *file) protobuf(media string) (*file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.binary != nil {
		return f.binary, nil
	}
	text, err := f.bytes()
	if err != nil {
		return nil, err
	}
	var doc proto.Message
	if media == mediaV2 {
		doc, err = openapi_v2.ParseDocument(text)
	} else {
		doc, err = openapi_v3.ParseDocument(text)
	}
	if err != nil {
		return nil, fmt.Errorf("converting OpenAPI to protobuf: %w", err)
	}
	binary, err := proto.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encoding OpenAPI as protobuf: %w", err)
	}
	f.binary, err = packBytes(binary)
	return f.binary, err
}
