package registry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hyperkube/apiserver/kind"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Choose reads the words of --runtime-config and says which of the resources of
// kinds are hidden, for Options. A word is <what>, <what>=true or <what>=false:
//
//	apps/v1/deployments   one resource (core's are v1/pods)
//	apps/v1, v1, api/v1   a group-version
//	api/beta              all of that stability: api/ga, api/beta, api/alpha
//	api/all               everything
//
// What is more exact wins, of equals the last. A word for what is not served at
// all is an error: it is a mistake, or meant for another version of Kubernetes.
func Choose(words []string, kinds []*kind.Kind) (hidden func(schema.GroupVersionResource) bool, err error) {
	said := map[string]bool{}
	known := knownWords(kinds)
	for _, word := range words {
		what, value, given := strings.Cut(word, "=")
		on := true
		if given {
			if on, err = strconv.ParseBool(value); err != nil {
				return nil, fmt.Errorf("%q: want true or false, have %q", what, value)
			}
		}
		if rest, ok := strings.CutPrefix(what, "api/v"); ok {
			what = "v" + rest
		}
		if !known[what] {
			return nil, unknownWord(what, kinds)
		}
		said[what] = on
	}
	return func(gvr schema.GroupVersionResource) bool {
		for _, what := range wordsFor(gvr) {
			if on, ok := said[what]; ok {
				return !on
			}
		}
		return false
	}, nil
}

// wordsFor a resource, the most exact first.
func wordsFor(gvr schema.GroupVersionResource) []string {
	gv := gvr.GroupVersion().String()
	return []string{gv + "/" + gvr.Resource, gv, "api/" + stability(gvr.Version), "api/all"}
}

func knownWords(kinds []*kind.Kind) map[string]bool {
	known := map[string]bool{"api/all": true, "api/ga": true, "api/beta": true, "api/alpha": true}
	for _, k := range kinds {
		for _, n := range names(k) {
			for _, w := range wordsFor(n.GVR()) {
				known[w] = true
			}
		}
	}
	return known
}

var beta, alpha = regexp.MustCompile(`^v\d+beta\d+$`), regexp.MustCompile(`^v\d+alpha\d+$`)

func stability(version string) string {
	switch {
	case beta.MatchString(version):
		return "beta"
	case alpha.MatchString(version):
		return "alpha"
	}
	return "ga"
}

// unknownWord names what comes nearest: the versions of the group or all groups.
func unknownWord(what string, kinds []*kind.Kind) error {
	if strings.Count(what, "/") > 2 || what == "" {
		return fmt.Errorf("%q: want <group>/<version>, <group>/<version>/<resource>, api/ga, api/beta, api/alpha or api/all", what)
	}
	var all, near []string
	group, _, _ := strings.Cut(what, "/")
	for _, k := range kinds {
		for _, n := range names(k) {
			gv := n.GVK().GroupVersion().String()
			all = append(all, gv)
			if strings.HasPrefix(what, gv+"/") {
				return fmt.Errorf("%q: there is no such resource in %s", what, gv)
			}
			if n.Group == group {
				near = append(near, gv)
			}
		}
	}
	if len(near) == 0 {
		near = all
	}
	slices.Sort(near)
	return errors.New(strconv.Quote(what) + " is not served by this version: there is " + strings.Join(slices.Compact(near), ", "))
}
