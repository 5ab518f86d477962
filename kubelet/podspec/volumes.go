package podspec

func volumes() []Row {
	return []Row{
		{"Volume", Served, "name", ""},
		{"VolumeSource", Served, "hostPath emptyDir configMap secret downwardAPI projected image", ""},
		{"VolumeSource", Refused, "persistentVolumeClaim ephemeral csi nfs iscsi fc flexVolume", "FailedMount"},
		{"VolumeSource", Refused, "gcePersistentDisk awsElasticBlockStore azureDisk azureFile cinder vsphereVolume portworxVolume", "FailedMount"},
		{"VolumeSource", Refused, "gitRepo glusterfs rbd cephfs flocker quobyte photonPersistentDisk scaleIO storageos", "FailedMount; retired upstream"},
		{"HostPathVolumeSource", Served, "path type", ""},
		{"EmptyDirVolumeSource", Served, "medium sizeLimit", "huge pages: FailedMount"},
		{"EmptyDirVolumeSource", Dropped, "mode", "EmptyDirVolumeMode"},
		{"ConfigMapVolumeSource", Served, "items defaultMode optional", ""},
		{"ConfigMapVolumeSource", Dropped, "defaultUser", "AtomicWriteVolumeUserFields"},
		{"SecretVolumeSource", Served, "secretName items defaultMode optional", ""},
		{"SecretVolumeSource", Dropped, "defaultUser", "AtomicWriteVolumeUserFields"},
		{"DownwardAPIVolumeSource", Served, "items defaultMode", ""},
		{"DownwardAPIVolumeSource", Dropped, "defaultUser", "AtomicWriteVolumeUserFields"},
		{"KeyToPath", Served, "key path mode", ""},
		{"KeyToPath", Dropped, "user", "AtomicWriteVolumeUserFields"},
		{"DownwardAPIVolumeFile", Served, "path fieldRef resourceFieldRef mode", ""},
		{"DownwardAPIVolumeFile", Dropped, "user", "AtomicWriteVolumeUserFields"},
		{"ImageVolumeSource", Served, "reference pullPolicy", ""},
	}
}

func sources() []Row {
	return []Row{
		{"ProjectedVolumeSource", Served, "sources defaultMode", "64 MiB for all volumes of a pod together"},
		{"ProjectedVolumeSource", Dropped, "defaultUser", "AtomicWriteVolumeUserFields"},
		{"VolumeProjection", Served, "secret downwardAPI configMap serviceAccountToken", ""},
		{"VolumeProjection", Refused, "clusterTrustBundle podCertificate", "FailedMount"},
		{"SecretProjection", Served, "items optional", ""},
		{"ConfigMapProjection", Served, "items optional", ""},
		{"DownwardAPIProjection", Served, "items", ""},
		{"ServiceAccountTokenProjection", Served, "audience expirationSeconds path", ""},
		{"ServiceAccountTokenProjection", Dropped, "user", "AtomicWriteVolumeUserFields"},
		{"ObjectFieldSelector", Served, "fieldPath", ""},
		{"ObjectFieldSelector", Ignored, "apiVersion", "there is one version"},
		{"ResourceFieldSelector", Served, "containerName resource divisor", ""},
	}
}

func scheduling() []Row {
	return []Row{
		{"Affinity", Placed, "nodeAffinity podAffinity podAntiAffinity", "scheduler"},
		{"NodeAffinity", Placed, "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution", "scheduler"},
		{"NodeSelector", Placed, "nodeSelectorTerms", "scheduler"},
		{"NodeSelectorTerm", Placed, "matchExpressions matchFields", "scheduler"},
		{"NodeSelectorRequirement", Placed, "key operator values", "scheduler"},
		{"PreferredSchedulingTerm", Placed, "weight preference", "scheduler"},
		{"PodAffinity", Placed, "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution", "scheduler"},
		{"PodAntiAffinity", Placed, "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution", "scheduler"},
		{"PodAffinityTerm", Placed, "labelSelector namespaces topologyKey namespaceSelector matchLabelKeys mismatchLabelKeys", "scheduler"},
		{"WeightedPodAffinityTerm", Placed, "weight podAffinityTerm", "scheduler"},
		{"Toleration", Served, "key operator value effect", "NoExecute by the kubelet, all by the scheduler"},
		{"Toleration", Placed, "tolerationSeconds", "taint eviction controller"},
		{"TopologySpreadConstraint", Placed, "maxSkew topologyKey whenUnsatisfiable labelSelector minDomains nodeAffinityPolicy nodeTaintsPolicy matchLabelKeys", "scheduler"},
		{"PodSchedulingGate", Placed, "name", "scheduler"},
	}
}
