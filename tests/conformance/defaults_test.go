package conformance

import (
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	apiautoscalingv2 "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	hpavalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/utils/ptr"
)

// withDefaults is a behavior as the API server fills it in.
func withDefaults(behavior *autoscalingv2.HorizontalPodAutoscalerBehavior) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{Behavior: behavior.DeepCopy()}}
	apiautoscalingv2.SetDefaults_HorizontalPodAutoscalerBehavior(hpa)
	return hpa.Spec.Behavior
}

// refusedHPA says why the API server refuses an HPA with this metric and behavior, or nothing.
func refusedHPA(t *testing.T, metric autoscalingv2.MetricSpec, behavior *autoscalingv2.HorizontalPodAutoscalerBehavior) string {
	t.Helper()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "keda-hpa-worker", Namespace: "shop"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "worker"},
			MinReplicas:    ptr.To(int32(1)),
			MaxReplicas:    10,
			Metrics:        []autoscalingv2.MetricSpec{metric},
			Behavior:       withDefaults(behavior),
		},
	}
	var internal autoscaling.HorizontalPodAutoscaler
	if err := legacyscheme.Scheme.Convert(hpa, &internal, nil); err != nil {
		t.Fatal(err)
	}
	problems := hpavalidation.ValidateHorizontalPodAutoscaler(&internal, hpavalidation.HorizontalPodAutoscalerSpecValidationOptions{MinReplicasLowerBound: 1})
	if len(problems) == 0 {
		return ""
	}
	return problems.ToAggregate().Error()
}
