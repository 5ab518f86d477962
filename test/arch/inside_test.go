package arch

import (
	"path"
	"strings"
	"testing"
)

// inside lists, for the parts of a root, which folders of the same root they may import. A pattern names one
// folder, "*" any single name; the first line that fits counts, and a part that no line names may import none.
// What is composed from its parts (the roots themselves, lists of everything) stands in whole.
var inside = []struct{ part, may string }{
	// Kinds meet in the one list only: neither each other nor the verbs.
	{"apiserver/kinds/*", "apiserver/kind apiserver/request apiserver/allocate apiserver/authz"},
	{"apiserver/admission", "apiserver/kind apiserver/request"},
	{"apiserver/admission/*", "apiserver/admission apiserver/request apiserver/authz"},
	{"apiserver/authz", "apiserver/request"},
	{"apiserver/authz/*", "apiserver/request"},
	{"apiserver/request", ""},
	{"apiserver/kind", "apiserver/request"},
	{"apiserver/codec", "apiserver/kind"},
	{"apiserver/registry", "apiserver/codec apiserver/kind apiserver/request"},
	{"apiserver/verbs", "apiserver/admission apiserver/codec apiserver/filters apiserver/kind apiserver/registry apiserver/request apiserver/stall"},
	{"apiserver/filters", "apiserver/codec apiserver/request apiserver/route apiserver/stall"},
	{"apiserver/discovery", "apiserver/codec apiserver/kind apiserver/registry"},
	{"apiserver/openapi", "apiserver/codec apiserver/kind apiserver/registry"},
	{"apiserver/apply", "apiserver/kind apiserver/registry"},
	{"apiserver/connect", "apiserver/codec apiserver/request"},
	{"apiserver/allocate", "apiserver/kind"},
	{"apiserver/authn", "apiserver/request"},
	{"apiserver/route", "apiserver/request"},
	{"apiserver/tokens", "apiserver/kind apiserver/request"},
	{"apiserver/bootstrapdata", "apiserver/authz/bootstrap apiserver/kind"},

	// The store is made from its parts; no part looks back.
	{"store/etcd", "store/backend"},

	// What a part of the kubelet may know of others. Only the server reads the pods' states.
	{"kubelet/admit", "kubelet/cri kubelet/status"},
	{"kubelet/cgroup", "kubelet/cri"},
	{"kubelet/cri", "kubelet/downward"},
	{"kubelet/images", "kubelet/cri"},
	{"kubelet/lifecycle", "kubelet/probe"},
	{"kubelet/objects", "kubelet/volume"},
	{"kubelet/podworker", "kubelet/admit kubelet/cri kubelet/images kubelet/lifecycle kubelet/logs kubelet/probe kubelet/status kubelet/steps kubelet/volume"},
	{"kubelet/server", "kubelet/cri kubelet/logs kubelet/podworker"},
	{"kubelet/status", "kubelet/cri"},
	{"kubelet/steps", "kubelet/cgroup kubelet/cri kubelet/images kubelet/lifecycle kubelet/userns kubelet/volume"},
	{"kubelet/volume", "kubelet/volume/atomic kubelet/volume/mount"},
	{"kubelet/volume/projected", "kubelet/volume kubelet/volume/atomic kubelet/volume/mount kubelet/volume/configmap kubelet/volume/downwardapi kubelet/volume/secret"},
	{"kubelet/volume/*", "kubelet/volume kubelet/volume/atomic kubelet/volume/mount kubelet/downward"},

	// Plugins know the framework only, as those of others would.
	{"scheduler/decide", "scheduler/framework"},
	{"scheduler/queue", "scheduler/framework"},
	{"scheduler/snapshot", "scheduler/framework"},
	{"scheduler/plugins/*", "scheduler/framework"},

	// Controllers meet through the API; what several need is a folder of its own.
	{"controllers/podctl", "controllers/env"},
	{"controllers/backends", "controllers/env controllers/podctl"},
	{"controllers/*", "controllers/env controllers/podctl controllers/backends controllers/revisions controllers/stage"},

	{"network/bridge", ""},
	{"network/cni", "network/bridge network/ipam network/rules"},
	{"runtime/images", "runtime/carried"},
}

// whole are the folders that put the parts of a root together.
var whole = map[string]bool{
	"apiserver": true, "apiserver/assembly": true, "apiserver/kinds": true, "apiserver/admission/plugins": true,
	"store": true, "kubelet": true, "kubelet/volume/all": true, "scheduler": true, "scheduler/plugins": true,
	"controllers": true, "network": true, "runtime": true, "proxy": true, "dns": true, "kit": true,
	"cluster": true, "bootstrap": true,
}

func checkInside(t *testing.T, files []source) {
	used := map[string]bool{}
	for _, s := range files {
		from := root(s.dir)
		if s.test || free[from] || whole[s.dir] || layers[from] < 2 || layers[from] > 4 {
			continue
		}
		may := map[string]bool{}
		for _, r := range inside {
			if fits, err := path.Match(r.part, s.dir); err != nil {
				t.Fatalf("pattern %s: %v", r.part, err)
			} else if fits {
				used[r.part] = true
				for m := range strings.FieldsSeq(r.may) {
					may[m] = true
				}
				break
			}
		}
		for _, imp := range imports(s.file) {
			to, ours := strings.CutPrefix(imp, module)
			if ours && root(to) == from && !may[to] {
				t.Errorf("%s/%s imports %s: its part of the house may not (test/arch/inside_test.go)", s.dir, s.name, to)
			}
		}
	}
	for _, r := range inside {
		if !used[r.part] {
			t.Errorf("rule for %s fits no folder: take it out", r.part)
		}
	}
}
