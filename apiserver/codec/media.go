// Package codec is how objects look on the wire: which media type an answer
// gets, how bodies are read, and the encodings of an object revision that all
// its readers share.
//
//	store.Entry ─View.JSON/Proto (encoded once, kept in the entry)─┬─▶ get: head + bytes
//	                                                               ├─▶ list: joined items
//	                                                               └─▶ watch: framed events
//
// The shared bytes are an object without its TypeMeta: the bare protobuf message,
// or the JSON object that lacks kind and apiVersion. Envelopes are put around
// them when they are written, so that one encoding serves all three.
package codec

import (
	"mime"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// Wire is an encoding.
type Wire uint8

// The wires spoken.
const (
	JSON Wire = iota
	YAML
	Proto
)

var wireTypes = [...]string{JSON: "application/json", YAML: "application/yaml", Proto: "application/vnd.kubernetes.protobuf"}

// String is the media type.
func (w Wire) String() string { return wireTypes[w] }

// Shape is the transformation a client asked for with "as=".
type Shape uint8

// The shapes an answer may have.
const (
	Whole Shape = iota
	Table
	Partial // PartialObjectMetadata or its list
)

// Media is a negotiated answer.
type Media struct {
	Wire    Wire
	Shape   Shape
	Version string // of meta.k8s.io for Table and Partial: v1 or v1beta1
	Pretty  bool
	Objects metav1.IncludeObjectPolicy // what table rows carry
}

// Accepts are the media types named in 406 and 415 answers.
var accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf"

// Offer limits what an endpoint can answer with.
type Offer uint8

// What an answer may be.
const (
	Plain   Offer = iota // no transformation
	Objects              // an object or event: Table or PartialObjectMetadata
	Lists                // a list: Table or PartialObjectMetadataList
)

// Negotiate picks the first clause of the Accept header that can be served.
func Negotiate(r *http.Request, offer Offer) (Media, error) {
	m, ok := pick(Accept(r), offer)
	if !ok {
		return m, notAcceptable()
	}
	q := r.URL.RawQuery
	if q != "" && strings.Contains(q, "pretty=") {
		m.Pretty = r.URL.Query().Get("pretty") != "false" && r.URL.Query().Get("pretty") != "0"
	} else if m.Wire == JSON {
		m.Pretty = forEyes(r.UserAgent())
	}
	if m.Shape == Table {
		var err error
		if m.Objects, err = includeObject(r); err != nil {
			return m, err
		}
	}
	return m, nil
}

// Accept is what the client takes, as one list. Of very many clauses the last are left out:
// repeated headers cost their sender next to nothing.
func Accept(r *http.Request) string {
	lines := r.Header["Accept"]
	if len(lines) == 1 && len(lines[0]) <= bounds.Accept {
		return lines[0]
	}
	var list strings.Builder
	for _, line := range lines {
		if list.Len() > 0 {
			list.WriteByte(',')
		}
		list.WriteString(line[:min(len(line), bounds.Accept+1)])
		if list.Len() > bounds.Accept {
			return list.String()[:max(0, strings.LastIndexByte(list.String()[:bounds.Accept+1], ','))]
		}
	}
	return list.String()
}

// forEyes reports clients at which a person looks.
func forEyes(agent string) bool {
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

func pick(accept string, offer Offer) (Media, bool) {
	switch accept { // the common cases need no parsing
	case "", "*/*", "application/json", "application/json, */*":
		return Media{}, true
	case "application/vnd.kubernetes.protobuf":
		return Media{Wire: Proto}, true
	}
	for clause := range strings.SplitSeq(accept, ",") {
		if m, ok := parseClause(strings.TrimSpace(clause), offer); ok {
			return m, true
		}
	}
	return Media{}, false
}

func parseClause(clause string, offer Offer) (Media, bool) {
	base, params := clause, map[string]string(nil)
	if strings.IndexByte(clause, ';') >= 0 {
		var err error
		if base, params, err = mime.ParseMediaType(clause); err != nil {
			return Media{}, false
		}
	}
	var m Media
	switch strings.ToLower(base) {
	case "application/json", "*/*", "application/*":
	case "application/yaml", "application/x-yaml", "text/yaml":
		m.Wire = YAML
	case "application/vnd.kubernetes.protobuf":
		m.Wire = Proto
	default:
		return m, false
	}
	as := params["as"]
	if as == "" {
		return m, true
	}
	m.Version = params["v"]
	if params["g"] != metav1.GroupName || (m.Version != "v1" && m.Version != "v1beta1") {
		return m, false
	}
	switch {
	case as == "Table" && offer != Plain && m.Wire != Proto: // tables have no protobuf form
		m.Shape = Table
	case as == "PartialObjectMetadata" && offer == Objects, as == "PartialObjectMetadataList" && offer == Lists:
		m.Shape = Partial
	default:
		return m, false
	}
	return m, true
}

// MediaOf reads a Content-Type; an empty one is JSON.
func MediaOf(contentType string) (Wire, error) {
	switch contentType {
	case "", "application/json":
		return JSON, nil
	case "application/vnd.kubernetes.protobuf":
		return Proto, nil
	}
	base, _, err := mime.ParseMediaType(contentType)
	if err == nil {
		switch base {
		case "application/json":
			return JSON, nil
		case "application/yaml", "application/x-yaml", "text/yaml":
			return YAML, nil
		case "application/vnd.kubernetes.protobuf":
			return Proto, nil
		}
	}
	return JSON, unsupportedMedia(accepted)
}
