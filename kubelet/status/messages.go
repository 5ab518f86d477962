package status

import (
	"strings"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
)

// limit holds the texts of a status, which come from the spec and from containers, to what an object may have.
func limit(s *v1.PodStatus) {
	limitMessages(s)
	limitMounts(s)
}

// limitMounts leaves the volume mounts out of a status that would be too large with them.
func limitMounts(s *v1.PodStatus) {
	lists, size := [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses}, 0
	for _, list := range lists {
		for i := range list {
			for _, m := range list[i].VolumeMounts {
				size += len(m.Name) + len(m.MountPath)
			}
		}
	}
	if size <= bounds.StatusMounts {
		return
	}
	for _, list := range lists {
		for i := range list {
			list[i].VolumeMounts = nil
		}
	}
}

// limitMessages gives each container of a pod its share of what messages may take of the status, and ends its image's
// name where no image has one.
func limitMessages(s *v1.PodStatus) {
	lists := [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses}
	count := 0
	for _, list := range lists {
		count += len(list)
	}
	for _, list := range lists {
		for i := range list {
			list[i].Image = clip(list[i].Image, bounds.Path)
			if w := list[i].State.Waiting; w != nil {
				list[i].State.Waiting = &v1.ContainerStateWaiting{Reason: w.Reason, Message: clip(w.Message, bounds.Messages/count)}
			}
			for _, t := range []**v1.ContainerStateTerminated{&list[i].State.Terminated, &list[i].LastTerminationState.Terminated} {
				if *t == nil {
					continue
				}
				if short := clip((*t).Message, bounds.Messages/count); short != (*t).Message {
					c := **t // another status may share it
					c.Message = short
					*t = &c
				}
			}
		}
	}
}

// clip is the begin of a text, whole characters only: a container writes whatever bytes it likes.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
