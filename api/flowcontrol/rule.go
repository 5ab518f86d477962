package flowcontrol

import (
	"fmt"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// every matches all verbs, groups, resources, namespaces, URLs or names.
const every = "*"

// supportedVerbs are those of requests for resources.
var supportedVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}

// validateFlowRule: whom a rule is about, and for which requests.
func validateFlowRule(r *flowcontrolv1.PolicyRulesWithSubjects, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(path.Child("subjects"), "subjects must contain at least one value"))
	}
	for i := range r.Subjects {
		errs = append(errs, validateSubject(&r.Subjects[i], path.Child("subjects").Index(i))...)
	}
	if len(r.ResourceRules)+len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i := range r.ResourceRules {
		errs = append(errs, validateResourceRule(&r.ResourceRules[i], path.Child("resourceRules").Index(i))...)
	}
	for i, x := range r.NonResourceRules {
		at := path.Child("nonResourceRules").Index(i)
		errs = append(errs, someOrEvery(x.Verbs, at.Child("verbs"))...) // lower-case HTTP methods
		errs = append(errs, someOrEvery(x.NonResourceURLs, at.Child("nonResourceURLs"))...)
		for j, url := range x.NonResourceURLs {
			errs = append(errs, validateURL(url, at.Child("nonResourceURLs").Index(j))...)
		}
	}
	return errs
}

func validateResourceRule(r *flowcontrolv1.ResourcePolicyRule, path *field.Path) field.ErrorList {
	errs := validateVerbs(r.Verbs, path.Child("verbs"))
	errs = append(errs, someOrEvery(r.APIGroups, path.Child("apiGroups"))...)
	errs = append(errs, someOrEvery(r.Resources, path.Child("resources"))...)
	at := path.Child("namespaces")
	if len(r.Namespaces) == 0 {
		if !r.ClusterScope {
			errs = append(errs, field.Required(at, "resource rules that are not cluster scoped must supply at least one namespace"))
		}
		return errs
	}
	errs = append(errs, someOrEvery(r.Namespaces, at)...)
	for i, ns := range r.Namespaces {
		if ns != every {
			errs = append(errs, rules.Messages(validation.IsDNS1123Label(ns), ns, at.Index(i))...)
		}
	}
	return errs
}

func validateVerbs(verbs []string, path *field.Path) field.ErrorList {
	errs := someOrEvery(verbs, path)
	for i, v := range verbs {
		if v != every {
			errs = append(errs, rules.OneOf(v, path.Index(i), supportedVerbs...)...)
		}
	}
	return errs
}

// someOrEvery: a list names something, or it is * alone.
func someOrEvery(list []string, path *field.Path) field.ErrorList {
	name := path.String()[strings.LastIndexByte(path.String(), '.')+1:]
	switch {
	case len(list) == 0:
		return field.ErrorList{field.Required(path, name+" must contain at least one value")}
	case len(list) > 1 && slices.Contains(list, every):
		return field.ErrorList{field.Invalid(path, list, fmt.Sprintf("if '*' is present, must not specify other %s", name))}
	}
	return nil
}

// validateURL checks a path of the server, or all below one.
func validateURL(url string, path *field.Path) field.ErrorList {
	switch wild := strings.Count(url, "*"); {
	case url == every || url == "/":
		return nil
	case !strings.HasPrefix(url, "/"):
		return field.ErrorList{field.Invalid(path, url, "must start with slash")}
	case strings.ContainsAny(url, " \t\n"):
		return field.ErrorList{field.Invalid(path, url, "must not contain white-space")}
	case strings.Contains(url, "//"):
		return field.ErrorList{field.Invalid(path, url, "must not contain double slash")}
	case wild > 1 || wild == 1 && !strings.HasSuffix(url, "/*"):
		return field.ErrorList{field.Invalid(path, url, "wildcard can only do suffix matching")}
	}
	return nil
}

// validateSubject: the field that the kind names is there, alone, and names somebody.
func validateSubject(s *flowcontrolv1.Subject, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct {
		kind flowcontrolv1.SubjectKind
		name string
		set  bool
	}{
		{flowcontrolv1.SubjectKindGroup, "group", s.Group != nil},
		{flowcontrolv1.SubjectKindServiceAccount, "serviceAccount", s.ServiceAccount != nil},
		{flowcontrolv1.SubjectKindUser, "user", s.User != nil},
	} {
		switch {
		case f.kind == s.Kind && !f.set:
			errs = append(errs, field.Required(path.Child(f.name), fmt.Sprintf("%s is required when subject kind is '%s'", f.name, f.kind)))
		case f.kind != s.Kind && f.set:
			errs = append(errs, field.Forbidden(path.Child(f.name), fmt.Sprintf("%s is forbidden when subject kind is not '%s'", f.name, f.kind)))
		}
	}
	switch {
	case s.Kind == flowcontrolv1.SubjectKindUser && s.User != nil:
		return append(errs, required(s.User.Name, path.Child("user", "name"))...)
	case s.Kind == flowcontrolv1.SubjectKindGroup && s.Group != nil:
		return append(errs, required(s.Group.Name, path.Child("group", "name"))...)
	case s.Kind == flowcontrolv1.SubjectKindServiceAccount && s.ServiceAccount != nil:
		return append(errs, validateAccount(s.ServiceAccount, path.Child("serviceAccount"))...)
	}
	return append(errs, rules.OneOf(s.Kind, path.Child("kind"), flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser)...)
}

func validateAccount(a *flowcontrolv1.ServiceAccountSubject, path *field.Path) field.ErrorList {
	errs := required(a.Name, path.Child("name"))
	if a.Name != "" && a.Name != every {
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(a.Name), a.Name, path.Child("name"))...)
	}
	if a.Namespace == "" {
		return append(errs, required(a.Namespace, path.Child("namespace"))...)
	}
	return append(errs, rules.Messages(validation.IsDNS1123Label(a.Namespace), a.Namespace, path.Child("namespace"))...)
}

func required(text string, path *field.Path) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return nil
}
