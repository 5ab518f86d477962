package kubelet

import (
	"os"
	"os/exec"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// features is what a handler of the runtime can do, by the node's status.
func (k *Kubelet) features(handler string) v1.NodeRuntimeHandlerFeatures {
	n := k.agent.Node()
	if n == nil {
		return v1.NodeRuntimeHandlerFeatures{}
	}
	for _, h := range n.Status.RuntimeHandlers {
		if h.Name == handler && h.Features != nil {
			return *h.Features
		}
	}
	return v1.NodeRuntimeHandlerFeatures{}
}

// appArmor tells whether the machine enforces AppArmor profiles and has what a runtime loads its own with. A runtime
// that finds neither passes the default profile over in silence.
func appArmor() bool {
	on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || !strings.HasPrefix(string(on), "Y") {
		return false
	}
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err != nil {
		return false
	}
	if _, err := os.Stat("/sbin/apparmor_parser"); err == nil {
		return true
	}
	_, err = exec.LookPath("apparmor_parser")
	return err == nil
}
