// Package podspec says of every field of a pod's spec what becomes of it: the one list, from which docs/podspec.md is
// written. Its test walks the published types: a field that nobody has placed fails it, so that no new one is taken and
// passed over in silence.
package podspec

// Answer is what becomes of a field.
type Answer string

// The answers.
const (
	Served  Answer = "served"    // by the kubelet
	Placed  Answer = "elsewhere" // by the API server, its admission or the scheduler
	Refused Answer = "refused"   // the pod does not run, and an event says why
	Dropped Answer = "dropped"   // by the API server: its feature gate is off in this version
	Ignored Answer = "no effect" // as published, here
)

// Row places fields, by their JSON names, of one of the published types.
type Row struct {
	Type   string
	Answer Answer
	Fields string
	Note   string
}

// Rows is the list. Below a field that is refused or dropped nothing is listed.
func Rows() []Row {
	var out []Row
	for _, part := range [][]Row{pod(), containers(), handlers(), security(), volumes(), sources(), scheduling()} {
		out = append(out, part...)
	}
	return out
}

func pod() []Row {
	return []Row{
		{"PodSpec", Served, "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds", ""},
		{"PodSpec", Served, "dnsPolicy dnsConfig hostname subdomain setHostnameAsFQDN hostnameOverride hostAliases enableServiceLinks", ""},
		{"PodSpec", Served, "hostNetwork hostPID hostIPC shareProcessNamespace securityContext", ""},
		{"PodSpec", Served, "hostUsers", "false: a range of 65536 ids of the node's own; FailedCreatePodSandBox where the runtime's handler cannot"},
		{"PodSpec", Served, "imagePullSecrets runtimeClassName readinessGates resources overhead nodeName nodeSelector tolerations", ""},
		{"PodSpec", Served, "os", "another system's: rejected, PodOSNotSupported"},
		{"PodSpec", Served, "priority", "in the score by which the kernel kills"},
		{"PodSpec", Placed, "serviceAccountName serviceAccount automountServiceAccountToken", "service account admission"},
		{"PodSpec", Placed, "affinity schedulerName topologySpreadConstraints schedulingGates preemptionPolicy", "scheduler; required node affinity is looked at again by the kubelet"},
		{"PodSpec", Placed, "priorityClassName", "priority admission"},
		{"PodSpec", Refused, "resourceClaims", "the pod waits: FailedPrepareDynamicResources"},
		{"PodSpec", Dropped, "schedulingGroup", "GenericWorkload"},
		{"PodSpec", Dropped, "evictionResponders", "EvictionRequestAPI"},
		{"PodDNSConfig", Served, "nameservers searches options", ""},
		{"PodDNSConfigOption", Served, "name value", ""},
		{"HostAlias", Served, "ip hostnames", ""},
		{"PodReadinessGate", Served, "conditionType", ""},
		{"PodOS", Served, "name", ""},
		{"LocalObjectReference", Served, "name", ""},
	}
}

func containers() []Row {
	var out []Row
	for _, t := range []string{"Container", "EphemeralContainerCommon"} {
		out = append(out,
			Row{t, Served, "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy restartPolicyRules", ""},
			Row{t, Served, "volumeMounts livenessProbe readinessProbe startupProbe lifecycle imagePullPolicy securityContext stdin stdinOnce tty", "what an ephemeral container may not have is refused by the API server"},
			Row{t, Served, "terminationMessagePath terminationMessagePolicy", "4 KiB each, 12 KiB for a pod"},
			Row{t, Refused, "volumeDevices", "with its claim: FailedMount"},
		)
	}
	return append(out,
		Row{"EphemeralContainer", Served, "targetContainerName", "one that is not there: CreateContainerConfigError"},
		Row{"ContainerPort", Served, "name hostPort containerPort protocol hostIP", ""},
		Row{"EnvFromSource", Served, "prefix configMapRef secretRef", ""},
		Row{"ConfigMapEnvSource", Served, "optional", ""},
		Row{"SecretEnvSource", Served, "optional", ""},
		Row{"EnvVar", Served, "name value valueFrom", "2 MiB for a container, its command and args included"},
		Row{"EnvVarSource", Served, "fieldRef resourceFieldRef configMapKeyRef secretKeyRef fileKeyRef", ""},
		Row{"ConfigMapKeySelector", Served, "key optional", ""},
		Row{"SecretKeySelector", Served, "key optional", ""},
		Row{"FileKeySelector", Served, "volumeName path key optional", "files of at most 64 KiB"},
		Row{"ResourceRequirements", Served, "limits requests", "ephemeral-storage: evicted when it is exceeded"},
		Row{"ResourceRequirements", Refused, "claims", "with the pod's resourceClaims"},
		Row{"ContainerResizePolicy", Served, "resourceName restartPolicy", ""},
		Row{"ContainerRestartRule", Served, "action exitCodes", ""},
		Row{"ContainerRestartRuleOnExitCodes", Served, "operator values", ""},
		Row{"VolumeMount", Served, "name readOnly mountPath subPath subPathExpr mountPropagation", ""},
		Row{"VolumeMount", Served, "recursiveReadOnly", "Enabled where the runtime cannot: CreateContainerConfigError"},
		Row{"VolumeMount", Dropped, "bindMountOptions", "VolumeBindMountOptions"},
	)
}

func handlers() []Row {
	return []Row{
		{"Probe", Served, "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds", ""},
		{"ProbeHandler", Served, "exec httpGet tcpSocket grpc", ""},
		{"ExecAction", Served, "command", ""},
		{"HTTPGetAction", Served, "path port host scheme httpHeaders", ""},
		{"HTTPGetAction", Dropped, "protocol", "H2CContainerProbe"},
		{"HTTPHeader", Served, "name value", ""},
		{"TCPSocketAction", Served, "port host", ""},
		{"GRPCAction", Served, "port service", ""},
		{"GRPCAction", Dropped, "mode", "GRPCContainerProbeTLS"},
		{"Lifecycle", Served, "postStart preStop", ""},
		{"Lifecycle", Dropped, "stopSignal", "ContainerStopSignals; served where another API server keeps it"},
		{"LifecycleHandler", Served, "exec httpGet sleep", ""},
		{"LifecycleHandler", Refused, "tcpSocket", "the hook fails, as published: FailedPostStartHook, FailedPreStopHook"},
		{"SleepAction", Served, "seconds", ""},
	}
}

func security() []Row {
	return []Row{
		{"SecurityContext", Served, "capabilities privileged seLinuxOptions runAsUser runAsGroup readOnlyRootFilesystem allowPrivilegeEscalation procMount", ""},
		{"SecurityContext", Served, "runAsNonRoot", "an image without a user counts as root's, one with a name cannot be verified: CreateContainerConfigError"},
		{"SecurityContext", Served, "seccompProfile", "without its file the container does not start"},
		{"SecurityContext", Served, "appArmorProfile", "rejected where the host has no AppArmor"},
		{"SecurityContext", Ignored, "windowsOptions", "on Linux"},
		{"PodSecurityContext", Served, "seLinuxOptions runAsUser runAsGroup runAsNonRoot supplementalGroups fsGroup sysctls seccompProfile appArmorProfile", "as for containers"},
		{"PodSecurityContext", Served, "supplementalGroupsPolicy", "Strict where the runtime cannot: rejected, SupplementalGroupsPolicyNotSupported"},
		{"PodSecurityContext", Ignored, "fsGroupChangePolicy seLinuxChangePolicy", "they speak of persistent volumes"},
		{"PodSecurityContext", Ignored, "windowsOptions", "on Linux"},
		{"Capabilities", Served, "add drop", ""},
		{"SELinuxOptions", Served, "user role type level", "for the runtime; a host without SELinux has no labels"},
		{"SeccompProfile", Served, "type localhostProfile", ""},
		{"AppArmorProfile", Served, "type localhostProfile", ""},
		{"Sysctl", Served, "name value", ""},
		{"WindowsSecurityContextOptions", Ignored, "gmsaCredentialSpecName gmsaCredentialSpec runAsUserName hostProcess", "on Linux"},
	}
}
