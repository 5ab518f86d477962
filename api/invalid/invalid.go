// Package invalid makes the answer to an object that broke rules: a 422 that names the fields,
// and stays small however many they are. Nothing else calls apierrors.NewInvalid.
package invalid

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/internal/bounds"
)

// longValue is how long a cause may be before it leaves out the value it complains about.
const longValue = 16 << 10

// New is the 422 of an object that broke rules. Of very many errors it tells the first
// bounds.Errors and how many more there are: joining all costs the square of their number.
func New(kind schema.GroupKind, name string, errs field.ErrorList) error {
	return apierrors.NewInvalid(kind, name, Capped(errs))
}

// Capped is errs cut to what a Status may list.
func Capped(errs field.ErrorList) field.ErrorList {
	told, size := make(field.ErrorList, 0, min(len(errs), bounds.Errors)), 0
	for _, e := range errs {
		if e == nil {
			continue
		}
		n := len(e.ErrorBody())
		if n > longValue {
			short := *e
			short.BadValue = field.OmitValueType{}
			e, n = &short, len(short.ErrorBody())
		}
		if size += n + len(e.Field); len(told) > 0 && size > bounds.ErrorBytes || len(told) == bounds.Errors {
			more := fmt.Errorf("and %d more errors", len(errs)-len(told))
			return append(told, field.InternalError(field.NewPath(e.Field), more))
		}
		told = append(told, e)
	}
	return told
}
