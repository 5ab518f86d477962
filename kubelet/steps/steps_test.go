package steps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/userns"
	"hyperkube/kubelet/volume"
)

// nothing is an API server that has no config maps and no secrets.
type nothing struct{}

func (nothing) ConfigMap(context.Context, string, string) (*v1.ConfigMap, error) { return nil, nil }
func (nothing) Secret(context.Context, string, string) (*v1.Secret, error)       { return nil, nil }
func (nothing) Token(context.Context, string, string, authv1.TokenRequestSpec) (*authv1.TokenRequest, error) {
	return nil, errors.New("no tokens")
}
func (nothing) Allocatable() v1.ResourceList { return nil }
func (nothing) Now() time.Time               { return time.Now() }

func secretKey(name string) []v1.EnvVar {
	return []v1.EnvVar{{Name: "E", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{Key: "k", LocalObjectReference: v1.LocalObjectReference{Name: name}}}}}
}

// TestConfigErrorsAreTold: a container that cannot be configured says why, in its status and as an event, whatever
// sort of container it is, and never reaches the runtime.
func TestConfigErrorsAreTold(t *testing.T) {
	root := t.TempDir()
	volumes := map[string]volume.Mounted{
		"data": {Path: t.TempDir()}, "gone": {Path: filepath.Join(root, "does-not-exist")}, "image": {Image: "sha256:1"},
	}
	nonRoot := &v1.SecurityContext{RunAsNonRoot: new(true)}
	for name, c := range map[string]struct {
		spec v1.Container
		want string
	}{
		"image without a user": {v1.Container{SecurityContext: nonRoot}, "container has runAsNonRoot and image will run as root"},
		"runAsUser 0":          {v1.Container{SecurityContext: &v1.SecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(0))}}, "container's runAsUser breaks non-root policy"},
		"missing secret":       {v1.Container{Env: secretKey("no")}, `secret "no" not found`},
		"missing config map":   {v1.Container{EnvFrom: []v1.EnvFromSource{{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "no"}}}}}, `configmap "no" not found`},
		"missing env file": {v1.Container{Env: []v1.EnvVar{{Name: "E", ValueFrom: &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{VolumeName: "data", Path: "f", Key: "k"}}}}},
			`env file "f" of volume "data": opening "f" in volume: no such file or directory`},
		"long workingDir":             {v1.Container{WorkingDir: "/" + strings.Repeat("d", 4096)}, "workingDir has 4097 bytes, more than 4096"},
		"long terminationMessagePath": {v1.Container{TerminationMessagePath: "/" + strings.Repeat("d", 4096)}, "terminationMessagePath has 4097 bytes, more than 4096"},
		"long mountPath":              {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/" + strings.Repeat("d", 4096)}}}, "volumeMounts[0].mountPath has 4097 bytes, more than 4096"},
		"unknown in subPathExpr":      {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/m", SubPathExpr: "$(NOPE)"}}}, `subPathExpr "$(NOPE)": missing value for "NOPE"`},
		"subPath without a floor":     {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "gone", MountPath: "/m", SubPath: "a"}}}, "opening volume: no such file or directory"},
		"subPath out of a volume":     {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/m", SubPath: "a/../../x"}}}, "must be a relative path without '..'"},
		"subPath out of an image":     {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "image", MountPath: "/m", SubPath: "../x"}}}, "must be a relative path without '..'"},
		"subPath of the root":         {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "image", MountPath: "/m", SubPath: "/etc"}}}, "must be a relative path without '..'"},
		"volume not ready":            {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "none", MountPath: "/m"}}}, `volume "none" is not ready`},
		"recursive read-only": {v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/m", ReadOnly: true, RecursiveReadOnly: new(v1.RecursiveReadOnlyEnabled)}}},
			`volume "data" requested recursive read-only mode, but it is not supported by the runtime`},
		"too many mounts":        {v1.Container{VolumeMounts: make([]v1.VolumeMount, 2000)}, "the container has 2000 volume mounts, more than 1024"},
		"seccomp without a name": {v1.Container{SecurityContext: &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost}}}, "localhostProfile must be set"},
		"too large a command":    {v1.Container{Args: []string{strings.Repeat("x", 3<<20)}}, "command and args: more than"},
	} {
		for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
			spec := c.spec
			spec.Name = "c"
			pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
			switch kind {
			case "containers":
				pod.Spec.Containers = []v1.Container{spec}
			case "initContainers":
				pod.Spec.InitContainers = []v1.Container{spec}
			default:
				pod.Spec.EphemeralContainers = []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon(spec)}}
			}
			told, err := begin(t, root, pod, &spec, volumes)
			var e *StartError
			if !errors.As(err, &e) || e.Reason != "CreateContainerConfigError" || !strings.Contains(e.Err.Error(), c.want) {
				t.Errorf("%s of %s: %v", name, kind, err)
				continue
			}
			if len(told) != 1 || told[0] != "Warning Failed Error: "+e.Err.Error() {
				t.Errorf("%s of %s: told %q", name, kind, told)
			}
		}
	}
}

// begin runs the steps of a container up to the runtime, which there is none of.
func begin(t *testing.T, root string, pod *v1.Pod, spec *v1.Container, volumes map[string]volume.Mounted) (told []string, err error) {
	d := &Deps{
		Volumes: volume.NewManager(root, nil), Sources: nothing{}, Services: func(string) []*v1.Service { return nil },
		Features: func(string) v1.NodeRuntimeHandlerFeatures { return v1.NodeRuntimeHandlerFeatures{} }, Users: userns.New(root),
		Renderer: &cri.Renderer{LogRoot: t.TempDir(), CgroupParent: func(*v1.Pod) string { return "" }},
	}
	if err := os.MkdirAll(d.Volumes.PodDir(string(pod.UID)), 0o755); err != nil {
		t.Fatal(err)
	}
	list := Containers(d)
	for i := range list {
		if list[i].Name == "logs" {
			list = list[:i]
			break
		}
	}
	c := &Container{Pod: &Pod{API: pod, Volumes: volumes, Sandbox: &runtimeapi.PodSandboxStatus{}}, Spec: spec, Image: images.Image{Ref: "i"},
		Tell: func(typ, reason, message string) { told = append(told, typ+" "+reason+" "+message) }}
	return told, Start(t.Context(), list, c)
}

// TestStartTells: a step that fails is told once, in the runtime's words; one that was stopped is not told.
func TestStartTells(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var told []string
	c := &Container{Tell: func(typ, reason, message string) { told = append(told, typ+" "+reason+" "+message) }}
	fails := func(err error) []ContainerStep {
		return []ContainerStep{{"a", "R", func(context.Context, *Container) error { return nil }}, {"b", "R", func(context.Context, *Container) error { return err }}}
	}
	if err := Start(ctx, fails(status.Error(codes.Unknown, "no room")), c); err == nil || err.Error() != "R: no room" || status.Code(err) != codes.Unknown {
		t.Errorf("%v", err)
	}
	cancel()
	var e *StartError
	if err := Start(ctx, fails(errors.New("cut short")), c); !errors.As(err, &e) || !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if len(told) != 1 || told[0] != "Warning Failed Error: no room" {
		t.Errorf("told %q", told)
	}
}

// TestTargetMustBeThere: a container that is to look into another does not look into nothing.
func TestTargetMustBeThere(t *testing.T) {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}, Spec: v1.PodSpec{EphemeralContainers: []v1.EphemeralContainer{{TargetContainerName: "main", EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "c"}}}}}
	spec := &v1.Container{Name: "c"}
	told, err := begin(t, t.TempDir(), pod, spec, nil)
	if err == nil || len(told) != 1 || told[0] != `Warning Failed Error: unable to find target container "main"` {
		t.Errorf("%v, %q", err, told)
	}
}

// TestClaimsHoldBack: a pod that asks for devices gets no sandbox, and says why.
func TestClaimsHoldBack(t *testing.T) {
	list := []Step{claims(), {Name: "sandbox", After: []string{"claims"}, SetUp: func(context.Context, *Pod) error {
		t.Error("a sandbox without its device")
		return nil
	}}}
	err := SetUp(t.Context(), list, &Pod{API: &v1.Pod{Spec: v1.PodSpec{ResourceClaims: []v1.PodResourceClaim{{Name: "gpu"}}}}})
	var told *Told
	if !errors.As(err, &told) || told.Reason != "FailedPrepareDynamicResources" {
		t.Errorf("%v", err)
	}
}

// TestPanicsStayInside: a step of the several that run side by side fails its pod when it panics, and nothing else.
func TestPanicsStayInside(t *testing.T) {
	burst := func() { panic("odd pod") }
	err := SetUp(t.Context(), []Step{{Name: "volumes", SetUp: func(context.Context, *Pod) error { burst(); return nil }}}, &Pod{API: &v1.Pod{}})
	if err == nil || err.Error() != "volumes: panic in pod step volumes: odd pod" {
		t.Errorf("%v", err)
	}
}
