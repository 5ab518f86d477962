package conformance

import (
	"fmt"
	"hash/fnv"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// apiKinds are behaviours that ask a kind for nothing but its API.
func apiKinds() []behaviour {
	return []behaviour{
		{name: "Priority and Fairness FlowSchema API", run: support(flowSchemas)},
		{name: "Priority and Fairness PriorityLevelConfiguration API", run: support(priorityLevels)},
		{name: "EndpointSlice API", run: support(endpointSlices)},
		{name: "Ingress API", run: support(ingresses)},
		{name: "IngressClass API", run: support(ingressClasses)},
		{name: "IPAddress API", run: support(ipAddresses)},
		{name: "ServiceCIDR API", run: support(serviceCIDRs)},
		{name: "RuntimeClass API", run: support(runtimeClasses)},
		{name: "CronJob API Operations", run: support(cronJobs)},
		{name: "CSIDriver, lifecycle", run: support(csiDrivers)},
		{name: "CSINode, lifecycle", run: support(csiNodes)},
		{name: "CSIStorageCapacity API", run: support(storageCapacities)},
		{name: "StorageClass, lifecycle", run: support(storageClasses)},
		{name: "VolumeAttachment, lifecycle", run: support(volumeAttachments)},
		{name: "VolumeAttachment, apply changes to a volumeattachment status", run: support(volumeAttachmentStatus)},
		{name: "VolumeAttributesClass, lifecycle", run: support(volumeAttributesClasses)},
		{name: "CRUD operations for deviceclasses", run: support(deviceClasses)},
		{name: "CRUD operations for resourceclaims", run: support(resourceClaims)},
		{name: "CRUD operations for resourceclaimtemplates", run: support(resourceClaimTemplates)},
		{name: "CRUD operations for resoureslices", run: support(resourceSlices)},
		{name: "CertificateSigningRequest API", run: certificateRequests},
	}
}

func v1(group, resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
}

var flowSchemas = operations{
	resource: v1("flowcontrol.apiserver.k8s.io", "flowschemas"), subresources: []string{"flowschemas/status"},
	manifest: `
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
spec:
  matchingPrecedence: 9999
  priorityLevelConfiguration: {name: global-default}
  distinguisherMethod: {type: ByUser}
  rules:
  - subjects: [{kind: User, user: {name: nobody-of-this-name}}]
    nonResourceRules: [{nonResourceURLs: ["*"], verbs: [get]}]
`,
	status:      `status: {conditions: [{type: Dangling, status: "False", reason: Tested, message: by conformance, lastTransitionTime: "2024-01-01T00:00:00Z"}]}`,
	statusField: []string{"status", "conditions"},
}

var priorityLevels = operations{
	resource: v1("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"), subresources: []string{"prioritylevelconfigurations/status"},
	manifest: `
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
spec:
  type: Limited
  limited: {nominalConcurrencyShares: 2, limitResponse: {type: Reject}}
`,
	status:      `status: {conditions: [{type: Tested, status: "False", reason: Tested, message: by conformance, lastTransitionTime: "2024-01-01T00:00:00Z"}]}`,
	statusField: []string{"status", "conditions"},
}

var endpointSlices = operations{
	resource: v1("discovery.k8s.io", "endpointslices"), namespaced: true,
	manifest: `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
endpoints: [{addresses: [1.2.3.4], conditions: {ready: true}}]
ports: [{name: http, port: 80, protocol: TCP}]
`,
}

var ingresses = operations{
	resource: v1("networking.k8s.io", "ingresses"), namespaced: true, subresources: []string{"ingresses/status"},
	manifest: `
apiVersion: networking.k8s.io/v1
kind: Ingress
spec:
  defaultBackend: {service: {name: default-backend, port: {number: 80}}}
`,
	status:      `status: {loadBalancer: {ingress: [{ip: 169.1.1.1}]}}`,
	statusField: []string{"status", "loadBalancer", "ingress"},
}

var ingressClasses = operations{
	resource: v1("networking.k8s.io", "ingressclasses"),
	manifest: `
apiVersion: networking.k8s.io/v1
kind: IngressClass
spec: {controller: example.com/controller}
`,
}

var ipAddresses = operations{
	resource: v1("networking.k8s.io", "ipaddresses"),
	manifest: `
apiVersion: networking.k8s.io/v1
kind: IPAddress
spec: {parentRef: {resource: things, name: thing, namespace: default, group: example.com}}
`,
	name: func(f *fixture, i int) string { return fmt.Sprintf("203.0.113.%d", 10*(digest(f.id)%24)+i) },
}

var serviceCIDRs = operations{
	resource: v1("networking.k8s.io", "servicecidrs"), subresources: []string{"servicecidrs/status"},
	manifest: `
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
spec: {cidrs: [203.0.113.0/24]}
`,
	status:      `status: {conditions: [{type: Tested, status: "False", reason: Tested, message: by conformance, lastTransitionTime: "2024-01-01T00:00:00Z"}]}`,
	statusField: []string{"status", "conditions"},
}

// digest spreads names over small numbers.
func digest(s string) int {
	h := fnv.New32a()
	h.Write([]byte(s))
	return int(h.Sum32() % (1 << 30))
}

var runtimeClasses = operations{
	resource: v1("node.k8s.io", "runtimeclasses"),
	manifest: `
apiVersion: node.k8s.io/v1
kind: RuntimeClass
handler: conformance
`,
}

var cronJobs = operations{
	resource: v1("batch", "cronjobs"), namespaced: true, subresources: []string{"cronjobs/status"},
	manifest: `
apiVersion: batch/v1
kind: CronJob
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers: [{name: main, image: none.invalid/none}]
`,
	status:      `status: {lastScheduleTime: "2024-01-01T00:00:00Z"}`,
	statusField: []string{"status", "lastScheduleTime"},
}

var csiDrivers = operations{
	resource: v1("storage.k8s.io", "csidrivers"),
	manifest: `
apiVersion: storage.k8s.io/v1
kind: CSIDriver
spec: {attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: [Ephemeral]}
`,
}

var csiNodes = operations{
	resource: v1("storage.k8s.io", "csinodes"),
	manifest: `
apiVersion: storage.k8s.io/v1
kind: CSINode
spec: {drivers: []}
`,
}

var storageCapacities = operations{
	resource: v1("storage.k8s.io", "csistoragecapacities"), namespaced: true,
	manifest: `
apiVersion: storage.k8s.io/v1
kind: CSIStorageCapacity
storageClassName: example
capacity: 1Gi
`,
}

var storageClasses = operations{
	resource: v1("storage.k8s.io", "storageclasses"),
	manifest: `
apiVersion: storage.k8s.io/v1
kind: StorageClass
provisioner: none.example.com
parameters: {kind: slow}
`,
}

const volumeAttachment = `
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
spec:
  attacher: none.example.com
  nodeName: no-such-node
  source: {persistentVolumeName: no-such-volume}
`

var volumeAttachments = operations{resource: v1("storage.k8s.io", "volumeattachments"), manifest: volumeAttachment}

var volumeAttachmentStatus = operations{
	resource: v1("storage.k8s.io", "volumeattachments"), manifest: volumeAttachment, subresources: []string{"volumeattachments/status"},
	status: `status: {attached: true}`, statusField: []string{"status", "attached"},
}

var volumeAttributesClasses = operations{
	resource: v1("storage.k8s.io", "volumeattributesclasses"),
	manifest: `
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
driverName: none.example.com
parameters: {speed: slow}
`,
}

var deviceClasses = operations{
	resource: v1("resource.k8s.io", "deviceclasses"),
	manifest: `
apiVersion: resource.k8s.io/v1
kind: DeviceClass
spec: {selectors: [{cel: {expression: "device.driver == 'example.com'"}}]}
`,
}

const claimSpec = `{devices: {requests: [{name: one, exactly: {deviceClassName: example.com}}]}}`

var resourceClaims = operations{
	resource: v1("resource.k8s.io", "resourceclaims"), namespaced: true, subresources: []string{"resourceclaims/status"},
	manifest: "apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nspec: " + claimSpec,
}

var resourceClaimTemplates = operations{
	resource: v1("resource.k8s.io", "resourceclaimtemplates"), namespaced: true,
	manifest: "apiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\nspec: {spec: " + claimSpec + "}",
}

var resourceSlices = operations{
	resource: v1("resource.k8s.io", "resourceslices"),
	manifest: `
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
spec:
  driver: example.com
  nodeName: no-such-node
  pool: {name: pool, generation: 1, resourceSliceCount: 1}
  devices: [{name: one}]
`,
}
