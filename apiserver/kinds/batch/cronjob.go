package batch

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/batch"
	"hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func cronJob() *kind.Kind {
	return kind.New(kind.Spec[*batchv1.CronJob]{
		Names: kind.Names{
			Group: "batch", Version: "v1", Kind: "CronJob", Plural: "cronjobs", Singular: "cronjob",
			ShortNames: []string{"cj"}, Categories: []string{"all"}, Namespaced: true,
		},
		New:      func() *batchv1.CronJob { return &batchv1.CronJob{} },
		Warnings: warnings.CronJob,
		NewList:  func() runtime.Object { return &batchv1.CronJobList{} },
		Default:  rules.DefaultCronJob,
		PrepareCreate: func(_ context.Context, o *batchv1.CronJob) {
			o.Status = batchv1.CronJobStatus{}
			core.DropGatedTemplate(&o.Spec.JobTemplate.Spec.Template, nil)
		},
		PrepareUpdate: func(_ context.Context, o, old *batchv1.CronJob) {
			o.Status = old.Status
			core.DropGatedTemplate(&o.Spec.JobTemplate.Spec.Template, &old.Spec.JobTemplate.Spec.Template)
		},
		Generation:     func(o, old *batchv1.CronJob) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateCronJob,
		ValidateUpdate: rules.ValidateCronJobUpdate,
		Columns:        rules.CronJobColumns(),
		Row:            rules.CronJobRow,
		Status: &kind.SubRules[*batchv1.CronJob]{
			Prepare: func(_ context.Context, o, old *batchv1.CronJob) { o.Spec = old.Spec },
		},
	})
}
