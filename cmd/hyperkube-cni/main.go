// Command hyperkube-cni is the CNI plugin that container runtimes execute for every
// pod. It is small and starts in milliseconds; the work is in hyperkube/network/cni.
package main

import (
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"

	"hyperkube/network/cni"
)

func main() {
	skel.PluginMainFuncs(cni.Funcs(), version.All, "hyperkube bridge plugin")
}
