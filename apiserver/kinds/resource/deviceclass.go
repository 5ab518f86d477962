package resource

import (
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	rules "hyperkube/api/resource"
	"hyperkube/apiserver/kind"
)

func deviceClass() *kind.Kind {
	return kind.New(kind.Spec[*resourcev1.DeviceClass]{
		Names: kind.Names{
			Group: "resource.k8s.io", Version: "v1", Kind: "DeviceClass", Plural: "deviceclasses", Singular: "deviceclass",
		},
		ReturnDeleted:  true,
		New:            func() *resourcev1.DeviceClass { return &resourcev1.DeviceClass{} },
		NewList:        func() runtime.Object { return &resourcev1.DeviceClassList{} },
		Generation:     func(o, old *resourcev1.DeviceClass) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateDeviceClass,
		ValidateUpdate: func(o, _ *resourcev1.DeviceClass) field.ErrorList { return rules.ValidateDeviceClass(o) },
		Columns:        rules.PlainColumns(),
		Row:            func(o *resourcev1.DeviceClass, now time.Time) []any { return rules.PlainRow(o, now) },
	})
}
