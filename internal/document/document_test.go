package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

var podType = reflect.TypeFor[corev1.Pod]()

// What small inputs may become.
func TestGrowth(t *testing.T) {
	scalar := strings.Repeat("x", 1<<20)
	looseMap := reflect.TypeFor[map[string]any]()
	for _, c := range []struct {
		name string
		run  func() error
		want string // a part of the error, "" for none
	}{
		{"alias to a large scalar", func() error { return yamlOf("a: &a " + scalar + "\nb: [" + strings.Repeat("*a,", 20000) + "]\n") }, "bytes after aliases"},
		{"aliases of aliases", func() error { return yamlOf(billionLaughs(40)) }, "bytes after aliases"},
		{"merge keys that grow", func() error {
			return yamlOf("a: &a {k: " + scalar + "}\nb: [" + strings.Repeat("{<<: *a},", 100) + "]\n")
		}, "bytes after aliases"},
		{"anchor in itself", func() error { return yamlOf("a: &a [*a]\n") }, "contains itself"},
		{"a few aliases", func() error { return yamlOf("a: &a {k: v}\nb: [*a, *a]\nc: {<<: *a, d: '*&'}\n") }, ""},
		{"deep flow", func() error { return yamlOf(strings.Repeat("[", 600) + strings.Repeat("]", 600)) }, "nested deeper"},
		{"deep block", func() error { return yamlOf(deepBlock(600)) }, "nested deeper"},
		{"deep dashes", func() error { return yamlOf(strings.Repeat("- ", 600) + "x") }, "nested deeper"},
		{"deep, but not too deep", func() error { return yamlOf(deepBlock(300)) }, ""},
		{"950,000 empty containers", func() error { return jsonOf(`{"spec":{"containers":[` + list("{}", 950_000) + `]}}`) }, "the document is too large"},
		{"950,000 owners", func() error { return jsonOf(`{"metadata":{"ownerReferences":[` + list("{}", 950_000) + `]}}`) }, "the document is too large"},
		{"900,000 empty tolerations", func() error { return jsonOf(`{"spec":{"tolerations":[` + list("null", 700_000) + `]}}`) }, "items"},
		{"300,000 labels", func() error { return jsonOf(`{"metadata":{"labels":{` + members(300_000) + `}}}`) }, "items"},
		{"300,000 unknown fields", func() error { return jsonOf(`{"spec":{` + members(300_000) + `}}`) }, "items"},
		{"a patch of empty maps", func() error { return CheckJSON([]byte(`{"a":[`+list("{}", 900_000)+`]}`), looseMap) }, "items"},
		{"deep JSON", func() error {
			return CheckJSON([]byte(strings.Repeat(`{"a":`, 8000)+"1"+strings.Repeat("}", 8000)), looseMap)
		}, "nested deeper"},
		{"deep JSON in an unknown field", func() error {
			return jsonOf(`{"x":` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + `}`)
		}, "nested deeper"},
		{"900,000 empty containers in protobuf", func() error { return protoOf(manyContainers(900_000)) }, "the document is too large"},
		{"a large config map", func() error {
			return CheckJSON([]byte(`{"data":{"k":"`+strings.Repeat("x", 2<<20)+`"}}`), reflect.TypeFor[corev1.ConfigMap]())
		}, ""},
		{"a full endpoint slice", fullSlice, ""},
		{"a large policy", largePolicy, ""},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, c.run(), c.want) })
	}
}

func TestQuantities(t *testing.T) {
	in := func(v string) string {
		return `{"spec":{"containers":[{"resources":{"limits":{"cpu":` + v + `}}}]}}`
	}
	const path = "spec.containers[0].resources.limits[cpu]: quantity"
	for _, c := range []struct{ name, doc, want string }{
		{"small", in(`"1e-999999999"`), path},
		{"large", in(`"1E+10000000"`), path},
		{"a number", in(`1e-10000000`), path},
		{"beyond any integer", in(`"1e99999999999999999999999"`), path},
		{"escaped", in(`"1\u0065-999999999"`), path},
		{"digits escaped", in(`"1e-\u0039999\u0039\u0039\u0039"`), path},
		{"one too many", in(`"1e1000"`), path},
		{"the last that may be", in(`"1e999"`), ""},
		{"binary suffix", in(`"1Ei"`), ""},
		{"milli", in(`"1500m"`), ""},
		{"many digits", in(`"` + strings.Repeat("9", 1<<20) + `"`), path},
		{"many digits after the point", in("0." + strings.Repeat("9", 1<<20)), path},
		{"as many as may be", in(`"` + strings.Repeat("9", bounds.Quantity) + `"` + strings.Repeat(" ", bounds.Unchecked)), ""},
		{"a label like one", `{"metadata":{"labels":{"commit":"7e1234567"}}}`, ""},
		{"an image like one", `{"spec":{"containers":[{"image":"1e-999999999"}]}}`, ""},
		{"overhead", `{"spec":{"overhead":{"memory":"1e-99999999"}}}`, "spec.overhead[memory]: quantity"},
		{"divisor", `{"spec":{"containers":[{"env":[{"valueFrom":{"resourceFieldRef":{"divisor":"1e-99999999"}}}]}]}}`,
			"spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: quantity"},
		{"size limit", `{"spec":{"volumes":[{"emptyDir":{"sizeLimit":"1e-99999999"}}]}}`, "spec.volumes[0].emptyDir.sizeLimit: quantity"},
		{"in a patch", `{"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"resources":{"requests":{"x":"1e-99999999"}}}]}}`,
			"spec.containers[0].resources.requests[x]: quantity"},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, jsonOf(c.doc), c.want) })
	}
	check(t, protoOf(oddQuantity(t)), "spec.containers.resources.limits[cpu]: quantity")
}

// Every number that the check lets through is parsed in no time; the others it names.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"spec":{"containers":[{"resources":{"limits":{"cpu":"1e-9999"}}}]}}`, `[[{"a":1e1000}]]`, `{"metadata":{"annotations":{"a":"\""}}}`, "\"\\", "{\"a\":"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if CheckJSON(data, podType) != nil {
			return
		}
		var pod corev1.Pod
		_ = json.Unmarshal(data, &pod)
	})
}

func FuzzProto(f *testing.F) {
	p := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1")}}}}}}
	b, _ := p.Marshal()
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		if CheckProto(data, podType) != nil {
			return
		}
		var pod corev1.Pod
		_ = pod.Unmarshal(data)
	})
}

func FuzzYAML(f *testing.F) {
	f.Add([]byte("a: &a [1]\nb: *a\n"))
	f.Add([]byte("a: &a {<<: *a}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		j, err := FromYAML(data)
		if err == nil && len(j) > 8*bounds.Expanded {
			t.Errorf("%d bytes became %d", len(data), len(j))
		}
	})
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want ...%s...", err, want)
	}
	var excess *Excess
	var malformed *Malformed
	if err != nil && !errors.As(err, &excess) && !errors.As(err, &malformed) {
		t.Errorf("an error of another kind: %T", err)
	}
}

func yamlOf(s string) error { _, err := FromYAML([]byte(s)); return err }

func jsonOf(s string) error { return CheckJSON([]byte(s), podType) }

func protoOf(b []byte) error { return CheckProto(b, podType) }

func list(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":"",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func billionLaughs(n int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 lol\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	return b.String()
}

func deepBlock(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// manyContainers is a pod's message with n containers of no bytes each.
func manyContainers(n int) []byte {
	spec := bytes.Repeat([]byte{2<<3 | 2, 0}, n)
	out := []byte{2<<3 | 2}
	for l := len(spec); ; l >>= 7 {
		if l < 0x80 {
			out = append(out, byte(l))
			break
		}
		out = append(out, byte(l)|0x80)
	}
	return append(out, spec...)
}

// oddQuantity is a pod's message in which a quantity's text was replaced.
func oddQuantity(t *testing.T) []byte {
	p := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("123456789123")}}}}}}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(b, []byte("123456789123"), []byte("1e-999999999"), 1)
}

func fullSlice() error {
	s := discoveryv1.EndpointSlice{AddressType: "IPv4"}
	yes := true
	for i := range 1000 {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.0.%d.%d", i/250, i%250)}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: fmt.Sprintf("web-%d", i), UID: "2f6e3bd0-5d44-4a15-8f6f-5ddc2f0d6d3b"},
		})
	}
	return bothWays(&s)
}

func largePolicy() error {
	p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	for i := range 5000 {
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)}}}})
	}
	return bothWays(&p)
}

func bothWays(o interface{ Marshal() ([]byte, error) }) error {
	j, err := json.Marshal(o)
	if err != nil {
		return err
	}
	p, err := o.Marshal()
	if err != nil {
		return err
	}
	t := reflect.TypeOf(o).Elem()
	return errors.Join(CheckJSON(j, t), CheckProto(p, t))
}

func BenchmarkSmall(b *testing.B) {
	data := []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x"}]}}` + strings.Repeat(" ", 1800))
	for b.Loop() {
		if err := CheckJSON(data, podType); err != nil {
			b.Fatal(err)
		}
	}
}
