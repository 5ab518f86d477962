package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/registry"
)

// TestChoose reads the words of --runtime-config, one a line, and shows what is
// hidden of the group-versions asked about, or the error.
func TestChoose(t *testing.T) {
	all := kinds.All()
	datadriven.RunTest(t, "testdata/choose.txt", func(t *testing.T, d *datadriven.TestData) string {
		hidden, err := registry.Choose(strings.Fields(d.Input), all)
		if err != nil {
			return err.Error()
		}
		var ask []string
		d.ScanArgs(t, "of", &ask)
		byVersion := map[string][2]int{}
		var named []string
		for _, k := range all {
			gvrs := []schema.GroupVersionResource{k.GVR()}
			for _, v := range k.Versions {
				gvrs = append(gvrs, v.GVR())
			}
			for _, gvr := range gvrs {
				gv := gvr.GroupVersion().String()
				n := byVersion[gv]
				if hidden(gvr) {
					n[0]++
					named = append(named, gv+"/"+gvr.Resource)
				} else {
					n[1]++
				}
				byVersion[gv] = n
			}
		}
		var b strings.Builder
		for _, gv := range ask {
			switch n := byVersion[gv]; {
			case n[0] == 0:
				fmt.Fprintf(&b, "%s: served\n", gv)
			case n[1] == 0:
				fmt.Fprintf(&b, "%s: hidden\n", gv)
			default:
				of := slices.DeleteFunc(slices.Clone(named), func(s string) bool { return !strings.HasPrefix(s, gv+"/") })
				fmt.Fprintf(&b, "%s: served without %s\n", gv, strings.Join(of, ", "))
			}
		}
		return b.String()
	})
}
