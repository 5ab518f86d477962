package status

import (
	"strings"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
)

// limitMessages gives each container of a pod its share of what termination messages may take of the status.
func limitMessages(s *v1.PodStatus) {
	lists := [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses}
	count := 0
	for _, list := range lists {
		count += len(list)
	}
	for _, list := range lists {
		for i := range list {
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
