package batch

import (
	"context"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/batch"
	"hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func job() *kind.Kind {
	return kind.New(kind.Spec[*batchv1.Job]{
		Names: kind.Names{
			Group: "batch", Version: "v1", Kind: "Job", Plural: "jobs", Singular: "job",
			Categories: []string{"all"}, Namespaced: true,
		},
		New:           func() *batchv1.Job { return &batchv1.Job{} },
		Warnings:      warnings.Job,
		NewList:       func() runtime.Object { return &batchv1.JobList{} },
		Default:       rules.DefaultJob,
		PrepareCreate: func(_ context.Context, o *batchv1.Job) { rules.PrepareJob(o) },
		PrepareUpdate: func(_ context.Context, o, old *batchv1.Job) {
			o.Status, o.Spec.Scheduling = old.Status, old.Spec.Scheduling
			core.DropGatedTemplate(&o.Spec.Template, &old.Spec.Template)
		},
		Generation:     func(o, old *batchv1.Job) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateJob,
		ValidateUpdate: rules.ValidateJobUpdate,
		Fields: []kind.Field[*batchv1.Job]{
			{Path: "status.successful", Value: func(o *batchv1.Job) string { return strconv.Itoa(int(o.Status.Succeeded)) }},
		},
		Columns: rules.JobColumns(),
		Row:     rules.JobRow,
		Status: &kind.SubRules[*batchv1.Job]{
			Prepare:  func(_ context.Context, o, old *batchv1.Job) { o.Spec = old.Spec },
			Validate: rules.ValidateJobStatus,
		},
	})
}
