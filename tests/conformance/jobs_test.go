package conformance

import (
	"fmt"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scaling/executor"
	"github.com/kedacore/keda/v2/pkg/scaling/scaledjob"
)

// jobsCase is one poll for a ScaledJob.
type jobsCase struct {
	// Of the ScaledJob; absent is not written.
	Min         *int32 `json:"min,omitempty"`
	Max         *int32 `json:"max,omitempty"`
	Strategy    string `json:"strategy,omitempty"`
	Deduction   *int32 `json:"deduction,omitempty"`
	Percentage  string `json:"percentage,omitempty"`
	Calculation string `json:"calculation,omitempty"`
	// What the triggers say. One that fails is not among them.
	Triggers []jobsTrigger `json:"triggers"`
	// The Jobs that are not finished: with a pod that runs, and without.
	Running int `json:"running"`
	Pending int `json:"pending"`
	// How many Jobs are created.
	Creates int `json:"creates"`
}

type jobsTrigger struct {
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
	Active    bool    `json:"active"`
}

func TestJobs(t *testing.T) {
	one := func(value, threshold float64) []jobsTrigger {
		return []jobsTrigger{{Value: value, Threshold: threshold, Active: value > 0}}
	}
	two := []jobsTrigger{{Value: 12, Threshold: 2, Active: true}, {Value: 5, Threshold: 1, Active: true}, {Value: 90, Threshold: 1}}
	var cases []jobsCase
	for _, strategy := range []string{"", "default", "accurate", "eager"} {
		for _, jobs := range []struct{ running, pending int }{{0, 0}, {3, 0}, {0, 3}, {2, 2}, {9, 0}, {10, 0}} {
			for _, value := range []float64{0, 1, 5, 25} {
				cases = append(cases, jobsCase{Max: ptr.To(int32(10)), Strategy: strategy, Triggers: one(value, 1), Running: jobs.running, Pending: jobs.pending})
			}
		}
	}
	custom := func(deduction *int32, percentage string) {
		for _, running := range []int{0, 4} {
			cases = append(cases, jobsCase{Max: ptr.To(int32(10)), Strategy: "custom", Deduction: deduction, Percentage: percentage, Triggers: one(8, 1), Running: running})
		}
	}
	custom(ptr.To(int32(1)), "0.5")
	custom(ptr.To(int32(0)), "0.3")
	custom(nil, "0.5")
	custom(ptr.To(int32(1)), "")
	custom(ptr.To(int32(1)), "half")
	for _, calculation := range []string{"", "max", "min", "avg", "sum"} {
		cases = append(cases, jobsCase{Max: ptr.To(int32(50)), Calculation: calculation, Triggers: two})
	}
	for _, bounds := range []struct{ low, high *int32 }{{nil, nil}, {ptr.To(int32(2)), nil}, {ptr.To(int32(2)), ptr.To(int32(5))}, {ptr.To(int32(5)), ptr.To(int32(5))}, {ptr.To(int32(9)), ptr.To(int32(5))}} {
		for _, running := range []int{0, 1, 3, 6} {
			for _, value := range []float64{0, 4, 200} {
				cases = append(cases, jobsCase{Min: bounds.low, Max: bounds.high, Triggers: one(value, 1), Running: running})
			}
		}
	}
	for _, value := range []float64{1, 9, 10, 11, 0.4} {
		cases = append(cases, jobsCase{Max: ptr.To(int32(10)), Triggers: one(value, 10)})
	}
	cases = append(cases, jobsCase{Max: ptr.To(int32(10))}, jobsCase{Min: ptr.To(int32(2)), Max: ptr.To(int32(10))})
	for index := range cases {
		cases[index].poll(t)
	}
	keep(t, "jobs", "How many Jobs one poll of KEDA's loop creates for a ScaledJob.", []string{kedaModule}, cases)
}

func (c *jobsCase) poll(t *testing.T) {
	t.Helper()
	object := &kedav1alpha1.ScaledJob{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: "shop", UID: "worker"},
		Spec: kedav1alpha1.ScaledJobSpec{
			JobTargetRef:    &batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "worker", Image: "worker"}}}}},
			MinReplicaCount: c.Min,
			MaxReplicaCount: c.Max,
			ScalingStrategy: kedav1alpha1.ScalingStrategy{
				Strategy: c.Strategy, CustomScalingQueueLengthDeduction: c.Deduction, CustomScalingRunningJobPercentage: c.Percentage, MultipleScalersCalculation: c.Calculation,
			},
		},
	}
	existing := []client.Object{object}
	for number := range c.Running + c.Pending {
		name := fmt.Sprintf("worker-%d", number)
		existing = append(existing, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"scaledjob.keda.sh/name": "worker"}}})
		if number < c.Running {
			existing = append(existing, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"job-name": name}},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning},
			})
		}
	}
	cluster, err := fakeClient(existing...)
	if err != nil {
		t.Fatal(err)
	}
	// As KEDA's loop puts them together: getScaledJobMetrics and getScaledJobState in
	// https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scale_handler.go.
	var metrics []scaledjob.ScalerMetrics
	for index, trigger := range c.Triggers {
		name := fmt.Sprintf("s%d-prometheus", index)
		spec := autoscalingv2.MetricSpec{External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: name}, Target: scalers.GetMetricTargetMili(autoscalingv2.AverageValueMetricType, trigger.Threshold),
		}}
		values := []external_metrics.ExternalMetricValue{scalers.GenerateMetricInMili(name, trigger.Value)}
		length, largest, _ := scaledjob.CalculateQueueLengthAndMaxValue(values, []autoscalingv2.MetricSpec{spec}, object.MaxReplicaCount())
		metrics = append(metrics, scaledjob.ScalerMetrics{QueueLength: length, MaxValue: largest, IsActive: trigger.Active})
	}
	active, length, largest, _ := scaledjob.IsScaledJobActive(metrics, c.Calculation, object.MinReplicaCount(), object.MaxReplicaCount())
	scaleExecutor := executor.NewScaleExecutor(cluster, nil, cluster.Scheme(), events.NewFakeRecorder(8))
	if result := scaleExecutor.RequestJobScale(t.Context(), object, active, false, length, largest, executor.ScaleExecutorOptions{}); result.Error != nil {
		t.Fatal(result.Error)
	}
	var jobs batchv1.JobList
	if err := cluster.List(t.Context(), &jobs); err != nil {
		t.Fatal(err)
	}
	c.Creates = len(jobs.Items) - c.Running - c.Pending
}
