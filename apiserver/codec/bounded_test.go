package codec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/internal/bounds"
)

// TestStatusIsBounded: an answer does not grow with what the client sent, and what fits stays.
func TestStatusIsBounded(t *testing.T) {
	long := strings.Repeat("é", 2<<20)
	pods := schema.GroupResource{Resource: "pods"}
	var conflicts []metav1.StatusCause
	for i := range 40_000 {
		conflicts = append(conflicts, metav1.StatusCause{Message: fmt.Sprintf("conflict with %q", "a"), Field: fmt.Sprintf(".data.k%d", i)})
	}
	for name, err := range map[string]error{
		"name":      apierrors.NewNotFound(pods, long),
		"text":      apierrors.NewBadRequest(long),
		"forbidden": apierrors.NewForbidden(pods, "p", errors.New(long)),
		"conflicts": apierrors.NewApplyConflict(conflicts, long),
		"cause":     apierrors.NewApplyConflict([]metav1.StatusCause{{Message: long, Field: long}}, "m"),
		"no API":    errors.New(long),
	} {
		st := StatusOf(err)
		body, encErr := AppendObject(nil, Media{}, st, StatusKind)
		if encErr != nil || len(body) > 3*bounds.ErrorBytes {
			t.Errorf("%s: %d bytes, %v", name, len(body), encErr)
		}
		if st.Code == 0 || st.Message == "" {
			t.Errorf("%s: %d %q", name, st.Code, st.Message)
		}
	}
	err := apierrors.NewApplyConflict(conflicts, "m")
	st := StatusOf(err)
	if n := len(st.Details.Causes); n != bounds.Errors+1 || !strings.Contains(st.Details.Causes[n-1].Message, "and 39900 more") {
		t.Errorf("%d causes, the last %+v", n, st.Details.Causes[n-1])
	}
	if len(err.ErrStatus.Details.Causes) != 40_000 {
		t.Error("the error itself was changed")
	}
	if st := StatusOf(apierrors.NewApplyConflict(conflicts[:3], "m")); len(st.Details.Causes) != 3 || st.Message != "m" {
		t.Errorf("%+v", st)
	}
}
