package verbs

import (
	"fmt"
	"strings"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// writeOptions are what all writes have in common.
type writeOptions struct {
	dryRun     bool
	manager    string
	validation string // Strict, Warn or Ignore
	force      *bool
	applied    bool // managedFields were settled by an apply
}

// writeOptions reads and checks the query of create, update and patch. patch is
// empty for the first two.
func (c *call) writeOptions(patch types.PatchType) (writeOptions, error) {
	o := writeOptions{validation: metav1.FieldValidationWarn}
	var dryRun []string
	if c.query != nil {
		dryRun, o.manager = c.query["dryRun"], c.query.Get("fieldManager")
		if v := c.query.Get("fieldValidation"); v != "" {
			o.validation = v
		}
		if f, ok := c.query["force"]; ok && len(f) > 0 {
			yes := f[0] != "false" && f[0] != "0"
			o.force = &yes
		}
	}
	errs, name := c.checkWrite(&o, dryRun, patch)
	if len(errs) > 0 {
		return o, invalid.New(schema.GroupKind{Group: metav1.GroupName, Kind: name}, "", errs)
	}
	o.dryRun = len(dryRun) > 0
	if o.manager == "" {
		o.manager = managerOf(c.r.UserAgent())
	}
	return o, nil
}

func (c *call) checkWrite(o *writeOptions, dryRun []string, patch types.PatchType) (field.ErrorList, string) {
	switch {
	case patch != "":
		return validation.ValidatePatchOptions(&metav1.PatchOptions{
			DryRun: dryRun, Force: o.force, FieldManager: o.manager, FieldValidation: o.validation}, patch), "PatchOptions"
	case c.info.Verb == "create":
		return validation.ValidateCreateOptions(&metav1.CreateOptions{
			DryRun: dryRun, FieldManager: o.manager, FieldValidation: o.validation}), "CreateOptions"
	}
	return validation.ValidateUpdateOptions(&metav1.UpdateOptions{
		DryRun: dryRun, FieldManager: o.manager, FieldValidation: o.validation}), "UpdateOptions"
}

// managerOf names the writer by its program when it does not name itself.
func managerOf(agent string) string {
	name, _, _ := strings.Cut(agent, "/")
	if len(name) > validation.FieldManagerMaxLength {
		name = name[:validation.FieldManagerMaxLength]
	}
	if name == "" {
		return "unknown"
	}
	return name
}

// decode reads the request's body into obj.
func (c *call) decode(obj runtime.Object, want schema.GroupVersionKind, validation string) error {
	wire, err := codec.MediaOf(c.r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	body, err := c.bodies.Read(c.r)
	if err != nil {
		return err
	}
	defer c.bodies.Put(body)
	complaints, err := codec.Decode(wire, body.Bytes(), obj, want, validation != metav1.FieldValidationIgnore)
	if err != nil {
		return err
	}
	return c.complain(complaints, want, validation)
}

// complain refuses or warns about fields that do not exist or come twice.
func (c *call) complain(complaints []error, want schema.GroupVersionKind, validation string) error {
	if len(complaints) == 0 {
		return nil
	}
	if validation == metav1.FieldValidationStrict {
		return codec.Mismatch(want, want, runtime.NewStrictDecodingError(complaints))
	}
	for _, e := range complaints {
		request.Warn(c.ctx, e.Error())
	}
	return nil
}

// checkNames makes the object's name and namespace agree with the URL.
func (c *call) checkNames(obj metav1.Object) error {
	if c.ep.Names.Namespaced {
		if ns := obj.GetNamespace(); ns == "" {
			obj.SetNamespace(c.key.Namespace)
		} else if ns != c.key.Namespace {
			return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
		}
	} else if obj.GetNamespace() != "" {
		return apierrors.NewBadRequest("namespace may not be set on a resource of cluster scope")
	}
	if c.key.Name == "" {
		return nil
	}
	if obj.GetName() == "" {
		obj.SetName(c.key.Name)
	} else if obj.GetName() != c.key.Name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), c.key.Name))
	}
	return nil
}
