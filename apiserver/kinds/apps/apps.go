// Package apps declares the kinds of apps/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/apps.
package apps

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		controllerRevision(),
		daemonSet(),
		deployment(),
		replicaSet(),
		statefulSet(),
	}
}

func names(kindName, plural, singular string, short ...string) kind.Names {
	return kind.Names{
		Group: "apps", Version: "v1", Kind: kindName, Plural: plural, Singular: singular,
		ShortNames: short, Categories: []string{"all"}, Namespaced: true,
	}
}
