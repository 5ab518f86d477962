package codec

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// bounded is the Status with what is too long cut: names and values in it are a client's.
// It never changes what st points to.
func bounded(st *metav1.Status) *metav1.Status {
	st.Message = cut(st.Message, bounds.ErrorBytes)
	d := st.Details
	if d == nil || len(d.Name) <= bounds.ErrorText && size(d.Causes) <= bounds.ErrorBytes && len(d.Causes) <= bounds.Errors+1 {
		return st
	}
	short := *d
	short.Name = cut(d.Name, bounds.ErrorText)
	short.Causes = nil
	for _, c := range d.Causes[:min(len(d.Causes), bounds.Errors)] {
		c.Message, c.Field = cut(c.Message, bounds.ErrorText), cut(c.Field, bounds.ErrorText)
		if size(short.Causes)+size([]metav1.StatusCause{c}) > bounds.ErrorBytes {
			break
		}
		short.Causes = append(short.Causes, c)
	}
	if left := len(d.Causes) - len(short.Causes); left > 0 {
		short.Causes = append(short.Causes, metav1.StatusCause{Message: fmt.Sprintf("and %d more errors", left)})
	}
	st.Details = &short
	return st
}

func size(causes []metav1.StatusCause) (n int) {
	for i := range causes {
		n += len(causes[i].Message) + len(causes[i].Field)
	}
	return n
}

// cut is s, or its beginning with a mark that there was more.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
