// Package imagelocality prefers nodes that have the pod's images already.
package imagelocality

import "hyperkube/scheduler/framework"

// Plugin implements framework.Preparer and Scorer.
type Plugin struct{}

const name = "ImageLocality"

func (Plugin) Name() string  { return name }
func (Plugin) Weight() int64 { return 1 }

const mib = 1 << 20

// image is one of the pod's, with the share of nodes that have it: a node that is
// alone in having an image shall not draw all its pods.
type image struct {
	name  string
	share float64
}

// Prepare is relevant when some node has one of the images.
func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	var images []image
	spec := &c.Pod.Spec
	for _, list := range [][]string{imagesOf(len(spec.Containers), func(i int) string { return spec.Containers[i].Image }),
		imagesOf(len(spec.InitContainers), func(i int) string { return spec.InitContainers[i].Image })} {
		for _, img := range list {
			if n := c.Cluster.ImageNodes(img); n > 0 {
				images = append(images, image{img, float64(n) / float64(len(c.Cluster.Nodes()))})
			}
		}
	}
	c.Put(name, images)
	return len(images) > 0, framework.Fit()
}

func imagesOf(n int, at func(int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = framework.ImageName(at(i))
	}
	return out
}

// Score grows from 23 MiB present per pod to 1000 MiB per container.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	images, _ := c.Get(name).([]image)
	var present int64
	for _, img := range images {
		present += int64(float64(n.Images[img.name]) * img.share)
	}
	low, high := int64(23*mib), int64(1000*mib)*int64(len(c.Pod.Spec.Containers)+len(c.Pod.Spec.InitContainers))
	present = min(max(present, low), high)
	return framework.MaxScore * (present - low) / (high - low)
}
