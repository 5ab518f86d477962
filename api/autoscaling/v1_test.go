package autoscaling

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"
)

// TestThroughV1: whatever v2 says survives a client that reads and writes v1.
func TestThroughV1(t *testing.T) {
	const text = `
metadata: {name: web, annotations: {mine: kept}}
spec:
  scaleTargetRef: {kind: Deployment, name: web, apiVersion: apps/v1}
  minReplicas: 2
  maxReplicas: 9
  behavior: {scaleDown: {stabilizationWindowSeconds: 60, policies: [{type: Pods, value: 1, periodSeconds: 15}]}}
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}
  - {type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 60}}}
  - {type: Pods, pods: {metric: {name: rps, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: "10"}}}
  - {type: Object, object: {describedObject: {kind: Ingress, name: i}, metric: {name: rps}, target: {type: Value, value: "5"}}}
  - {type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: "3"}}}
status:
  currentReplicas: 3
  desiredReplicas: 4
  conditions: [{type: AbleToScale, status: "True", reason: r, message: m}]
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 40, averageValue: 40m}}}
`
	h := &autoscalingv2.HorizontalPodAutoscaler{}
	if err := yaml.UnmarshalStrict([]byte(text), h); err != nil {
		t.Fatal(err)
	}
	one, err := ToV1(h)
	if err != nil {
		t.Fatal(err)
	}
	if n := one.Spec.TargetCPUUtilizationPercentage; n == nil || *n != 50 {
		t.Errorf("target %v", n)
	}
	if n := one.Status.CurrentCPUUtilizationPercentage; n == nil || *n != 40 {
		t.Errorf("current %v", n)
	}
	back, err := FromV1(one)
	if err != nil {
		t.Fatal(err)
	}
	// The one condition field that is a time is null where it was absent.
	if d := cmp.Diff(asJSON(t, h), asJSON(t, back)); d != "" {
		t.Error(d)
	}
	if _, set := h.Annotations[metricsAnnotation]; set {
		t.Error("the stored object was changed")
	}
	one.Annotations[metricsAnnotation] = "{"
	if _, err := FromV1(one); err == nil {
		t.Error("a broken annotation was accepted")
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
