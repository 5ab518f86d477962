package codec

import (
	"hyperkube/api/invalid"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func failure(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}}
}

func notAcceptable() error {
	return failure(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: "+accepted)
}

func unsupportedMedia(types string) error {
	return failure(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
		"the body of the request was in an unknown format - accepted media types include: "+types)
}

// UnsupportedMedia is the 415 of a body that must be one of types.
func UnsupportedMedia(types string) error { return unsupportedMedia(types) }

// includeObject reads the option of table requests.
func includeObject(r *http.Request) (metav1.IncludeObjectPolicy, error) {
	if r.URL.RawQuery == "" {
		return metav1.IncludeMetadata, nil
	}
	o := metav1.TableOptions{IncludeObject: metav1.IncludeObjectPolicy(r.URL.Query().Get("includeObject"))}
	if errs := validation.ValidateTableOptions(&o); len(errs) > 0 {
		return "", invalid.New(schema.GroupKind{Group: metav1.GroupName, Kind: "TableOptions"}, "", errs)
	}
	if o.IncludeObject == "" {
		return metav1.IncludeMetadata, nil
	}
	return o.IncludeObject, nil
}
