package podworker

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestScenarios plays testdata/*: what happens to a pod, then what is done about it.
//
//	pod              (YAML spec) a new pod
//	settle           everything that is decided succeeds, until nothing more is to be done
//	decide           one decision, whose actions stay under way until "ok" or "fail"
//	ok|fail OP       the first pending action of that operation ends
//	exit NAME CODE   the running container ends
//	sandbox-dies     the newest sandbox ends with all its containers
//	unhealthy NAME   a liveness probe has failed
//	delete GRACE     the API asks for the pod's end
//	image NAME IMAGE the spec's image changes
//	resize NAME      (YAML resources) the spec's size changes
//	tick DURATION    time passes
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range files {
		if filepath.Base(f) == "node" {
			continue // TestNodes plays them
		}
		t.Run(filepath.Base(f), func(t *testing.T) {
			var s *sim
			datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string { return play(t, &s, d) })
		})
	}
}

func play(t *testing.T, at **sim, d *datadriven.TestData) string {
	arg := func(i int) string { return d.CmdArgs[i].Key }
	s := *at
	switch d.Cmd {
	case "pod":
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
		if err := yaml.UnmarshalStrict([]byte(d.Input), &pod.Spec); err != nil {
			t.Fatal(err)
		}
		s = newSim(pod)
		start := metav1.Time{Time: s.start}
		pod.Status.StartTime = &start
		*at = s
		return ""
	case "settle":
		p := s.settle()
		out := strings.Join(s.log, "\n")
		s.log = nil
		if out != "" {
			out += "\n"
		}
		return out + s.describePlan(p)
	case "decide":
		p := s.decide()
		var b strings.Builder
		for _, a := range p.Actions {
			b.WriteString(s.describe(a) + "\n")
		}
		return b.String() + s.describePlan(p)
	case "ok", "fail":
		for _, a := range s.pending {
			if strings.HasPrefix(s.describe(a), strings.Trim(fmt.Sprint(keys(d)), "[]")) {
				s.finish(a, d.Cmd == "ok")
				return ""
			}
		}
		t.Fatalf("%s: no such action is pending", d.Pos)
	case "exit":
		var code int32
		if _, err := fmt.Sscan(arg(1), &code); err != nil {
			t.Fatal(err)
		}
		s.exit(s.v.Runtime.Container(arg(0)).Id, code)
	case "sandbox-dies":
		s.sandboxDies(s.v.Runtime.Sandbox().Id)
	case "unhealthy":
		mem := s.v.Containers[arg(0)]
		mem.FailedID, mem.Failed = s.v.Runtime.Container(arg(0)).Id, "Container "+arg(0)+" failed liveness probe, will be restarted"
		s.v.Containers[arg(0)] = mem
	case "delete":
		g, err := time.ParseDuration(arg(0))
		if err != nil {
			t.Fatal(err)
		}
		s.v.Stop = &Stop{Deleted: true, Deadline: s.v.Now.Add(g)}
	case "resize":
		spec, _ := specOf(s.v.Pod, arg(0))
		spec.Resources = v1.ResourceRequirements{}
		if err := yaml.UnmarshalStrict([]byte(d.Input), &spec.Resources); err != nil {
			t.Fatal(err)
		}
	case "tick":
		g, err := time.ParseDuration(arg(0))
		if err != nil {
			t.Fatal(err)
		}
		s.v.Now = s.v.Now.Add(g)
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	return ""
}

func keys(d *datadriven.TestData) []string {
	var out []string
	for _, a := range d.CmdArgs {
		out = append(out, a.Key)
	}
	return out
}
