package cni

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"hyperkube/internal/netns"
)

// TestKilledPluginLeavesNothingAfterDel kills the plugin at many points of ADD; DEL, or
// GC if the runtime forgot the container, must remove all of it.
func TestKilledPluginLeavesNothingAfterDel(t *testing.T) {
	if path := os.Getenv("CNI_TEST_NODE"); path != "" {
		child(t, path)
		return
	}
	n := newNode(t)
	n.pod("first", nil) // makes the bridge
	for i := range 40 {
		pod, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("c%d", i)
		args := n.args(id, pod, map[string]any{"runtimeConfig": map[string]any{"portMappings": []map[string]any{
			{"HostPort": 9000 + i, "ContainerPort": 80, "Protocol": "tcp"}}}})
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledPluginLeavesNothingAfterDel$")
		cmd.Env = append(os.Environ(), "CNI_TEST_NODE="+n.ns.Path(), "CNI_TEST_POD="+pod.Path(), "CNI_TEST_ID="+id, "CNI_TEST_CONF="+string(args.StdinData))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The moment of death is what varies: from before ADD begins to after its end.
		timer := time.AfterFunc(time.Duration(i)*700*time.Microsecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		if i%2 == 0 {
			n.do(func() error { return Del(args) })
		}
		_ = pod.Close()
	}
	n.do(func() error {
		return GC(n.args("", nil, map[string]any{"cni.dev/valid-attachments": []types.GCAttachment{{ContainerID: "first", IfName: "eth0"}}}))
	})
	ports, err := ReadPorts(n.conf["stateDir"].(string))
	if err != nil || len(ports) != 0 || n.held() != 1 {
		t.Errorf("left: ports %v, %d addresses (%v)", ports, n.held(), err)
	}
	if notes, err := ReadAttachments(n.conf["stateDir"].(string)); err != nil || len(notes) != 1 {
		t.Errorf("notes left: %v, %v", notes, err)
	}
	if links := n.links(); links != 1 {
		t.Errorf("%d links are left, want 1", links)
	}
}

func child(t *testing.T, node string) {
	ns, err := netns.Open(node)
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error {
		_, _, err := Add(&skel.CmdArgs{ContainerID: os.Getenv("CNI_TEST_ID"), IfName: "eth0", Netns: os.Getenv("CNI_TEST_POD"),
			StdinData: []byte(os.Getenv("CNI_TEST_CONF"))})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
