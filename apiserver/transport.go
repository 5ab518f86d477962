package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"hyperkube/apiserver/filters"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/route"
	"hyperkube/internal/supervise"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// ClientConfig makes clients whose requests reach the server inside the process:
// no socket, no TLS, no authentication, but every authorization as user.
func (s *Server) ClientConfig(user *request.User) *rest.Config {
	c := &rest.Config{Host: "http://hyperkube.in-process", Transport: &transport{handler: s.inside, user: user}, QPS: -1}
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.UserAgent = strings.TrimPrefix(user.Name, "system:") // names the field manager
	c.DisableCompression = true
	return c
}

// transport is a RoundTripper into a handler.
type transport struct {
	handler http.Handler
	user    *request.User
}

// RoundTrip runs the handler. Answers that end are gathered and returned whole;
// long-running ones are piped, and end when the request's context or the body does.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") != "" {
		return nil, errors.New("the in-process transport cannot upgrade a connection")
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(request.WithUser(r.Context(), t.user))
	in.RequestURI = in.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if filters.LongRunning(route.Parse(in)) {
		return t.stream(in, r)
	}
	defer in.Body.Close()
	w := &answer{header: http.Header{}}
	if err := t.serve(w, in); err != nil {
		return nil, err
	}
	if w.code == 0 {
		w.code = http.StatusOK
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return response(r, w.code, w.header, io.NopCloser(&w.body), int64(w.body.Len())), nil
}

// serve makes an error of a panic, as a server on a socket makes a broken
// connection of it: the caller's role goes on.
func (t *transport) serve(w http.ResponseWriter, r *http.Request) error {
	err := supervise.Contain("request", func() error {
		t.handler.ServeHTTP(w, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return nil
}

func response(r *http.Request, code int, h http.Header, body io.ReadCloser, length int64) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", code, http.StatusText(code)), StatusCode: code,
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: h, Body: body, ContentLength: length, Request: r,
	}
}

// answer gathers a whole response.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }
func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
}
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// stream runs the handler beside the reader of its answer. The goroutine ends
// with the handler, which ends when the caller cancels or closes the body.
func (t *transport) stream(in, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(in.Context())
	in = in.WithContext(ctx)
	pr, pw := io.Pipe()
	w := &streamed{header: http.Header{}, begun: make(chan struct{}), pipe: pw}
	go func() {
		defer in.Body.Close()
		err := t.serve(w, in) // nil: EOF
		w.WriteHeader(http.StatusOK)
		pw.CloseWithError(err)
	}()
	select {
	case <-w.begun:
	case <-ctx.Done():
		cancel()
		pr.CloseWithError(ctx.Err())
		return nil, r.Context().Err()
	}
	stop := context.AfterFunc(ctx, func() { pr.CloseWithError(context.Cause(ctx)) })
	body := &streamBody{PipeReader: pr, cancel: func() { stop(); cancel() }}
	return response(r, w.code, w.sent, body, -1), nil
}

// streamBody stops the handler when it is closed.
type streamBody struct {
	*io.PipeReader
	cancel func()
}

func (b *streamBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// streamed passes a response on while it is made.
type streamed struct {
	header, sent http.Header
	code         int
	once         sync.Once
	begun        chan struct{}
	pipe         *io.PipeWriter
}

func (s *streamed) Header() http.Header { return s.header }
func (s *streamed) WriteHeader(code int) {
	s.once.Do(func() {
		s.code, s.sent = code, s.header.Clone()
		close(s.begun)
	})
}
func (s *streamed) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return s.pipe.Write(p)
}

// SetWriteDeadline serves http.ResponseController: one that is over ends the answer.
func (s *streamed) SetWriteDeadline(t time.Time) error {
	if t.IsZero() || time.Now().Before(t) {
		return http.ErrNotSupported
	}
	return s.pipe.CloseWithError(os.ErrDeadlineExceeded)
}

// Flush has nothing to do: every Write waits for its reader.
func (s *streamed) Flush() { s.WriteHeader(http.StatusOK) }

var _ http.Flusher = (*streamed)(nil)
