// Package conformance is a driver for the published conformance behaviours of
// Kubernetes: the entries of conformance.yaml, each with its testname, codename and
// description. A behaviour is one function and one line in the list of its area;
// behaviours() is the list of areas.
//
// Contract: a behaviour gets a namespace of its own, uses nothing but the API (and
// kubectl where its description says so), bounds every wait, and leaves nothing
// behind. Those that change what the whole cluster shares are marked serial and
// run alone after the others.
//
// It runs against any cluster: KUBECONFIG names it. Without, the driver starts one
// of its own on a host made of namespaces. See docs/conformance.md for how to run
// it and what it covers.
package conformance

import "slices"

// behaviour ties a function to an entry of the catalogue.
type behaviour struct {
	// name is the entry's testname.
	name string
	run  func(*fixture)
	// code is a part of the codename; it tells entries of the same name apart.
	code string
	// serial behaviours change something shared and run alone.
	serial bool
}

// behaviours are all that can be run. A new area is a file and a line here.
func behaviours() []behaviour {
	return slices.Concat(
		disruption(), // first, because some wait for the clock
		apiKinds(),
		configMapVolumes(),
		secretVolumes(),
		projectedVolumes(),
		downwardVolumes(),
		emptyDirVolumes(),
		configMapsAndSecrets(),
		environment(),
		lifecycle(),
		containers(),
		probes(),
		podObjects(),
		resizing(),
		nodes(),
		machinery(),
		namespaces(),
		garbage(),
		limits(),
		workloads(),
		sets(),
		jobs(),
		identity(),
		events(),
		serviceTraffic(),
		endpointObjects(),
		names(),
		scheduling(),
		persistentVolumes(),
		commandLine(),
	)
}
