package filters

import (
	"bufio"
	"net"
	"net/http"
)

// recorder remembers how a request was answered. It passes streaming and
// hijacking through.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
	begun func() // called once, when the answer begins
}

// record returns w's recorder, installing one when there is none yet.
func record(w http.ResponseWriter) *recorder {
	if rec, ok := w.(*recorder); ok {
		return rec
	}
	return &recorder{ResponseWriter: w}
}

func (r *recorder) WriteHeader(code int) {
	r.begin(code)
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.begin(http.StatusOK)
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// begin notes the code of the answer; informational ones come before it.
func (r *recorder) begin(code int) {
	if r.code != 0 || code < 200 && code != http.StatusSwitchingProtocols {
		return
	}
	r.code = code
	if r.begun != nil {
		r.begun()
	}
}

// status is the code sent; a handler that says nothing says 200.
func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// Flush implements http.Flusher.
func (r *recorder) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Hijack implements http.Hijacker; it fails where the connection cannot be taken.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.begin(http.StatusSwitchingProtocols)
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

var (
	_ http.Flusher  = (*recorder)(nil)
	_ http.Hijacker = (*recorder)(nil)
)
