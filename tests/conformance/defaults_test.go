package conformance

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apiautoscalingv2 "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
)

// withDefaults is a behavior as the API server fills it in.
func withDefaults(behavior *autoscalingv2.HorizontalPodAutoscalerBehavior) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{Behavior: behavior.DeepCopy()}}
	apiautoscalingv2.SetDefaults_HorizontalPodAutoscalerBehavior(hpa)
	return hpa.Spec.Behavior
}
