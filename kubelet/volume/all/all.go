// Package all holds the one list of volume kinds.
package all

import (
	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/configmap"
	"hyperkube/kubelet/volume/downwardapi"
	"hyperkube/kubelet/volume/emptydir"
	"hyperkube/kubelet/volume/hostpath"
	"hyperkube/kubelet/volume/image"
	"hyperkube/kubelet/volume/projected"
	"hyperkube/kubelet/volume/secret"
)

// Kinds returns every kind of volume; the first that matches makes it.
func Kinds(s volume.Sources, images image.Ensure) []volume.Kind {
	return []volume.Kind{
		emptydir.Kind{},
		hostpath.Kind{},
		configmap.Kind{Sources: s},
		secret.Kind{Sources: s},
		projected.New(s),
		downwardapi.Kind{Sources: s},
		image.Kind{Ensure: images},
	}
}
