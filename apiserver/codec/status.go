package codec

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// StatusKind is how a Status calls itself in every answer.
var StatusKind = schema.GroupVersionKind{Version: "v1", Kind: "Status"}

// StatusOf turns any error into the Status that a client sees. What is not an
// API error is an internal one. However much of what a client sent an error repeats, the
// Status stays small.
func StatusOf(err error) *metav1.Status {
	var api apierrors.APIStatus
	if errors.As(err, &api) {
		st := api.Status()
		st.Status = metav1.StatusFailure
		if st.Code == 0 {
			st.Code = http.StatusInternalServerError
		}
		return bounded(&st)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
	case errors.Is(err, context.Canceled):
		err = failure(499, metav1.StatusReasonUnknown, "the client closed the request")
	case errors.Is(err, store.ErrRemoved): // between the look at the registry and the store
		err = failure(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
	case errors.Is(err, store.ErrClosed):
		err = apierrors.NewServiceUnavailable("the store is not open")
	case errors.Is(err, store.ErrRewound): // no Retry-After: trying again does not help
		err = apierrors.NewServiceUnavailable(err.Error())
	case errors.Is(err, store.ErrUnsure):
		err = apierrors.NewTimeoutError(err.Error(), 0)
	case errors.Is(err, store.ErrTooLarge):
		err = apierrors.NewRequestEntityTooLargeError(err.Error())
	case errors.Is(err, store.ErrFull): // no Retry-After: clients would wait silently for somebody to make room
		err = failure(http.StatusInsufficientStorage, "InsufficientStorage", err.Error())
	case errors.Is(err, store.ErrDown):
		down := apierrors.NewServiceUnavailable(err.Error())
		down.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
		err = down
	case errors.Is(err, store.ErrUnreadable):
		err = unreadable(err)
	default:
		err = failure(http.StatusInternalServerError, metav1.StatusReasonInternalError, "Internal error occurred: "+err.Error())
	}
	return StatusOf(err)
}

// unreadable names the stored objects of which nothing could be made.
func unreadable(err error) error {
	st := metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonStoreReadError,
		Message: "Internal error occurred: " + err.Error(), Details: &metav1.StatusDetails{},
	}
	var u *store.UnreadableError
	if errors.As(err, &u) {
		st.Details.Name = u.Path
		st.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeUnexpectedServerResponse, Message: u.Cause.Error(), Field: u.Path}}
	}
	return &apierrors.StatusError{ErrStatus: st}
}

// WriteError answers with the Status of err in a media type the client takes.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	m, ok := pick(Accept(r), Plain)
	if !ok {
		m = Media{}
	}
	st := StatusOf(err)
	if st.Details != nil && st.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(st.Details.RetryAfterSeconds)))
	}
	body, encErr := AppendObject(nil, m, st, StatusKind)
	if encErr != nil {
		http.Error(w, st.Message, int(st.Code))
		return
	}
	WriteBody(w, m.Wire.String(), int(st.Code), body)
}

// WriteBody sends a whole answer.
func WriteBody(w http.ResponseWriter, contentType string, code int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-cache, private")
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that is gone cannot be told
}
