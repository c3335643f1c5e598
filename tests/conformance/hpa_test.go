package conformance

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	hpametrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	"k8s.io/utils/ptr"
)

// What kube-controller-manager runs the autoscaler with when it is told nothing:
// https://github.com/kubernetes/kubernetes/blob/v1.35.0/pkg/controller/podautoscaler/config/v1alpha1/defaults.go.
const (
	syncPeriod        = 15 * time.Second
	downscaleWindow   = 5 * time.Minute
	defaultTolerance  = 0.1
	cpuInitialization = 5 * time.Minute
	initialReadiness  = 30 * time.Second
)

// externalMetric answers the autoscaler's question for an external metric, as KEDA's metrics API server does.
type externalMetric struct {
	hpametrics.MetricsClient
	// In thousandths; nil is an error.
	value *int64
}

func (m *externalMetric) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	if m.value == nil {
		return nil, time.Time{}, errors.New("the metric has no value")
	}
	return []int64{*m.value}, time.Now(), nil
}

type replicasCase struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Both in thousandths, as the metrics API carries them.
	TargetMilli int64 `json:"targetMilli"`
	ValueMilli  int64 `json:"valueMilli"`
	// The target's .status.replicas, which AverageValue is spread over, and .spec.replicas, which Value multiplies.
	StatusReplicas int32 `json:"statusReplicas"`
	SpecReplicas   int32 `json:"specReplicas"`
	// The target's pods, and how many of them are running and ready.
	Pods      int `json:"pods"`
	ReadyPods int `json:"readyPods"`
	// The HPA's tolerances; 0.1 where the behavior says nothing.
	ToleranceUp   float64 `json:"toleranceUp"`
	ToleranceDown float64 `json:"toleranceDown"`
	Replicas      *int32  `json:"replicas,omitempty"`
	Error         string  `json:"error,omitempty"`
}

func TestReplicas(t *testing.T) {
	average := func(target, value int64, status int32) replicasCase {
		return replicasCase{Type: "AverageValue", TargetMilli: target, ValueMilli: value, StatusReplicas: status, SpecReplicas: status, ToleranceUp: defaultTolerance, ToleranceDown: defaultTolerance}
	}
	absolute := func(target, value int64, spec int32, pods, ready int) replicasCase {
		return replicasCase{Type: "Value", TargetMilli: target, ValueMilli: value, StatusReplicas: spec, SpecReplicas: spec, Pods: pods, ReadyPods: ready, ToleranceUp: defaultTolerance, ToleranceDown: defaultTolerance}
	}
	tolerant := func(test replicasCase, up, down float64) replicasCase {
		test.ToleranceUp, test.ToleranceDown = up, down
		return test
	}
	cases := []replicasCase{
		average(10_000, 11_000, 1), average(10_000, 11_001, 1), average(10_000, 9_000, 1), average(10_000, 8_999, 1),
		average(5_000, 9_000, 2), average(5_000, 8_999, 2), average(5_000, 8_900, 2), average(5_000, 5_000, 2), average(5_000, 11_000, 2), average(5_000, 11_001, 2),
		average(5_000, 0, 10), average(10_000, 0, 0), average(10_000, 1, 0), average(10_000, 35_000, 0),
		average(10_000, 1, 5), average(10_000, 95_000, 3), average(10_000, 1_000_000, 1), average(1_000, 10_500, 10), average(1_000, 11_000, 10), average(1_000, 11_001, 10),
		average(2_500, 10_001, 2), average(1, 1_000_000, 1), average(1_000_000_000_000, 50_000, 1),
		average(5_000, 30_000, 6), average(5_000, 30_000, 5), average(5_000, 32_500, 6),
		tolerant(average(10_000, 10_001, 1), 0, 0.1), tolerant(average(10_000, 9_999, 1), 0, 0.1), tolerant(average(10_000, 18_999, 2), 0, 0), tolerant(average(10_000, 10_000, 2), 0, 0.5), tolerant(average(10_000, 9_999, 2), 0, 0.5),
		absolute(60_000, 240_000, 1, 1, 1), absolute(60_000, 240_000, 3, 3, 1), absolute(60_000, 240_000, 1, 1, 0), absolute(60_000, 240_000, 1, 0, 0),
		absolute(60_000, 66_000, 4, 4, 4), absolute(60_000, 66_001, 4, 4, 4), absolute(60_000, 54_000, 4, 4, 4), absolute(60_000, 53_999, 4, 4, 4), absolute(60_000, 0, 4, 4, 4),
	}
	for index := range cases {
		test := &cases[index]
		test.Name = fmt.Sprintf("%s %d of %d", test.Type, test.ValueMilli, test.TargetMilli)
		metric := &externalMetric{value: &test.ValueMilli}
		indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		for number := range test.Pods {
			if err := indexer.Add(pod(number, number < test.ReadyPods)); err != nil {
				t.Fatal(err)
			}
		}
		calculator := podautoscaler.NewReplicaCalculator(metric, corelisters.NewPodLister(indexer), cpuInitialization, initialReadiness)
		tolerances := tolerancesOf(test.ToleranceUp, test.ToleranceDown)
		var replicas int32
		var err error
		if test.Type == "AverageValue" {
			replicas, _, _, err = calculator.GetExternalPerPodMetricReplicas(test.StatusReplicas, test.TargetMilli, "s0-prometheus", tolerances, "shop", &metav1.LabelSelector{})
		} else {
			replicas, _, _, err = calculator.GetExternalMetricReplicas(test.SpecReplicas, test.TargetMilli, "s0-prometheus", tolerances, "shop", &metav1.LabelSelector{}, labels.Everything())
		}
		if err != nil {
			test.Error = err.Error()
		} else {
			test.Replicas = &replicas
		}
	}
	keep(t, "replicas", "How many replicas the Kubernetes autoscaler proposes for one external metric, before any behavior or bound.", []string{kubernetesModule}, cases)
}

// tolerancesOf fills in what the controller takes from the HPA's behavior; the fields are its own.
func tolerancesOf(up, down float64) podautoscaler.Tolerances {
	var tolerances podautoscaler.Tolerances
	for name, value := range map[string]float64{"scaleUp": up, "scaleDown": down} {
		field := reflect.ValueOf(&tolerances).Elem().FieldByName(name)
		reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().SetFloat(value)
	}
	return tolerances
}

func pod(number int, ready bool) *corev1.Pod {
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
	if ready {
		condition.Status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("worker-%d", number), Namespace: "shop", Labels: map[string]string{"app": "worker"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{condition}},
	}
}

type sequenceCase struct {
	Name        string `json:"name"`
	MinReplicas int32  `json:"minReplicas"`
	MaxReplicas int32  `json:"maxReplicas"`
	// The HPA's behavior as it stands in a manifest, or nothing: the autoscaler's older rules.
	Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
	// One AverageValue metric.
	TargetMilli   int64 `json:"targetMilli"`
	StartReplicas int32 `json:"startReplicas"`
	// One every 15 seconds.
	Syncs []round `json:"syncs"`
}

// round is one sync of the autoscaler.
type round struct {
	// The metric's value in thousandths; without it the metric is an error.
	ValueMilli *int64 `json:"valueMilli,omitempty"`
	// What KEDA set the replicas to just before.
	Set *int32 `json:"set,omitempty"`
	// After it.
	Replicas int32 `json:"replicas"`
}

// rounds are so many syncs with one value.
func rounds(count int, value int64) []round {
	syncs := make([]round, count)
	for index := range syncs {
		syncs[index].ValueMilli = &value
	}
	return syncs
}

func then(parts ...[]round) []round {
	var syncs []round
	for _, part := range parts {
		syncs = append(syncs, part...)
	}
	return syncs
}

func failing(count int) []round { return make([]round, count) }

func set(replicas int32, syncs []round) []round {
	syncs[0].Set = &replicas
	return syncs
}

func policy(kind autoscalingv2.HPAScalingPolicyType, value, period int32) autoscalingv2.HPAScalingPolicy {
	return autoscalingv2.HPAScalingPolicy{Type: kind, Value: value, PeriodSeconds: period}
}

// emitted is the behavior that `bullmq-keda generate` writes for max 50 without a longest job: generator/SPEC.md.
func emitted() *autoscalingv2.HorizontalPodAutoscalerBehavior {
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{
		ScaleUp: &autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: ptr.To(int32(0)),
			SelectPolicy:               ptr.To(autoscalingv2.MaxChangePolicySelect),
			Policies:                   []autoscalingv2.HPAScalingPolicy{policy("Pods", 10, 15), policy("Percent", 100, 15)},
		},
		ScaleDown: &autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: ptr.To(int32(120)),
			SelectPolicy:               ptr.To(autoscalingv2.MaxChangePolicySelect),
			Policies:                   []autoscalingv2.HPAScalingPolicy{policy("Percent", 50, 60)},
		},
	}
}

func down(window int32, selected autoscalingv2.ScalingPolicySelect, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{
		StabilizationWindowSeconds: &window, SelectPolicy: &selected, Policies: policies,
	}}
}

func up(window int32, selected autoscalingv2.ScalingPolicySelect, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: &autoscalingv2.HPAScalingRules{
		StabilizationWindowSeconds: &window, SelectPolicy: &selected, Policies: policies,
	}}
}

func TestSequences(t *testing.T) {
	const target, hundred = 10_000, 1_000_000
	tolerance := up(0, autoscalingv2.MaxChangePolicySelect, policy("Pods", 10, 15))
	tolerance.ScaleUp.Tolerance = ptr.To(resource.MustParse("0"))
	cases := []sequenceCase{
		{Name: "no behavior, from 1 to 100", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 1, Syncs: rounds(7, hundred)},
		{Name: "no behavior, from 10 to 100", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 10, Syncs: rounds(5, hundred)},
		{Name: "no behavior, down after 300 s", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 10, Syncs: then(rounds(2, 100_000), rounds(24, 0))},
		{Name: "no behavior, KEDA slept and woke within 300 s: the old recommendation comes back", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 8,
			Syncs: then(rounds(3, 80_000), set(0, rounds(4, 0)), set(1, rounds(4, 1_000)))},
		{Name: "emitted behavior, KEDA slept and woke within 120 s", MinReplicas: 1, MaxReplicas: 50, StartReplicas: 8, Behavior: emitted(),
			Syncs: then(rounds(3, 80_000), set(0, rounds(4, 0)), set(1, rounds(10, 1_000)))},
		{Name: "behavior with scaleDown only, from 1 to 100", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 1, Behavior: down(120, autoscalingv2.MaxChangePolicySelect, policy("Percent", 100, 15)), Syncs: rounds(7, hundred)},
		{Name: "emitted behavior, from 1 to 50", MinReplicas: 1, MaxReplicas: 50, StartReplicas: 1, Behavior: emitted(), Syncs: rounds(5, hundred)},
		{Name: "emitted behavior, from 50 to 1", MinReplicas: 1, MaxReplicas: 50, StartReplicas: 50, Behavior: emitted(), Syncs: then(rounds(2, 500_000), rounds(40, 0))},
		{Name: "emitted behavior, a dip of 105 s", MinReplicas: 1, MaxReplicas: 50, StartReplicas: 10, Behavior: emitted(), Syncs: then(rounds(2, 100_000), rounds(7, 0), rounds(3, 100_000))},
		{Name: "emitted behavior, the metric fails", MinReplicas: 1, MaxReplicas: 50, StartReplicas: 10, Behavior: emitted(), Syncs: then(rounds(2, 100_000), failing(30))},
		{Name: "50% a minute, at once", MinReplicas: 1, MaxReplicas: 20, StartReplicas: 10, Behavior: down(0, autoscalingv2.MaxChangePolicySelect, policy("Percent", 50, 60)), Syncs: rounds(18, 1_000)},
		{Name: "10% a minute, of 9", MinReplicas: 1, MaxReplicas: 20, StartReplicas: 9, Behavior: down(0, autoscalingv2.MaxChangePolicySelect, policy("Percent", 10, 60)), Syncs: rounds(10, 1_000)},
		{Name: "down disabled", MinReplicas: 1, MaxReplicas: 20, StartReplicas: 9, Behavior: down(0, autoscalingv2.DisabledPolicySelect, policy("Percent", 100, 15)), Syncs: rounds(4, 0)},
		{Name: "down by the least of two", MinReplicas: 1, MaxReplicas: 40, StartReplicas: 40, Behavior: down(0, autoscalingv2.MinChangePolicySelect, policy("Percent", 50, 15), policy("Pods", 4, 15)), Syncs: rounds(6, 0)},
		{Name: "up by the least of two", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 2, Behavior: up(0, autoscalingv2.MinChangePolicySelect, policy("Percent", 100, 15), policy("Pods", 4, 15)), Syncs: rounds(6, hundred)},
		{Name: "up 4 pods a minute", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 1, Behavior: up(0, autoscalingv2.MaxChangePolicySelect, policy("Pods", 4, 60)), Syncs: rounds(12, hundred)},
		{Name: "up with a window of 60 s", MinReplicas: 1, MaxReplicas: 100, StartReplicas: 1, Behavior: up(60, autoscalingv2.MaxChangePolicySelect, policy("Pods", 10, 15)), Syncs: then(rounds(2, 10_000), rounds(8, 50_000))},
		{Name: "the metric fails from the start", MinReplicas: 1, MaxReplicas: 10, StartReplicas: 5, Syncs: failing(25)},
		{Name: "the autoscaler leaves 0 alone", MinReplicas: 1, MaxReplicas: 10, StartReplicas: 0, Syncs: rounds(4, hundred)},
		{Name: "above max", MinReplicas: 1, MaxReplicas: 10, StartReplicas: 30, Behavior: emitted(), Syncs: rounds(2, hundred)},
		{Name: "above max, the metric fails", MinReplicas: 1, MaxReplicas: 10, StartReplicas: 30, Behavior: emitted(), Syncs: failing(2)},
		{Name: "below min, the metric fails", MinReplicas: 4, MaxReplicas: 10, StartReplicas: 1, Behavior: emitted(), Syncs: failing(2)},
		{Name: "within the tolerance", MinReplicas: 1, MaxReplicas: 20, StartReplicas: 10, Behavior: emitted(), Syncs: then(rounds(2, 110_000), rounds(2, 110_001))},
		{Name: "no tolerance upwards", MinReplicas: 1, MaxReplicas: 20, StartReplicas: 10, Behavior: tolerance, Syncs: then(rounds(2, 100_001), rounds(2, 109_000))},
	}
	for index := range cases {
		cases[index].TargetMilli = target
		synctest.Test(t, func(t *testing.T) { cases[index].run(t) })
	}
	keep(t, "sequences", "What the Kubernetes autoscaler does sync by sync, run in its own controller with a clock of its own.", []string{kubernetesModule}, cases)
}

// run plays a case against the controller. It is in a bubble: time passes when everybody waits.
func (c *sequenceCase) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	// As the API server stores it; the vector keeps what was written.
	behavior := withDefaults(c.Behavior)
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "keda-hpa-worker", Namespace: "shop"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "worker"},
			MinReplicas:    &c.MinReplicas,
			MaxReplicas:    c.MaxReplicas,
			Behavior:       behavior,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ExternalMetricSourceType,
				External: &autoscalingv2.ExternalMetricSource{
					Metric: autoscalingv2.MetricIdentifier{Name: "s0-prometheus"},
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(c.TargetMilli, resource.DecimalSI)},
				},
			}},
		},
	}
	client := fake.NewClientset(hpa)
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: "shop"},
		Spec:       autoscalingv1.ScaleSpec{Replicas: c.StartReplicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: c.StartReplicas, Selector: "app=worker"},
	}
	scales := &scalefake.FakeScaleClient{}
	scales.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) { return true, scale.DeepCopy(), nil })
	scales.AddReactor("update", "deployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
		updated := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		scale = updated.DeepCopy()
		// The Deployment creates its pods' objects at once.
		scale.Status.Replicas = scale.Spec.Replicas
		return true, updated, nil
	})
	metric := &externalMetric{}
	factory := informers.NewSharedInformerFactory(client, 0)
	controller := podautoscaler.NewHorizontalController(ctx, client.CoreV1(), scales, client.AutoscalingV2(), restMapper(), metric,
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(), syncPeriod, downscaleWindow, defaultTolerance, cpuInitialization, initialReadiness)
	factory.Start(ctx.Done())
	done := make(chan struct{})
	go func() {
		controller.Run(ctx, 1)
		close(done)
	}()
	for index := range c.Syncs {
		step := &c.Syncs[index]
		metric.value = step.ValueMilli
		if step.Set != nil {
			scale.Spec.Replicas, scale.Status.Replicas = *step.Set, *step.Set
		}
		wait := syncPeriod
		if index == 0 {
			// From here on every change lies between two syncs.
			wait += time.Second
		}
		time.Sleep(wait)
		synctest.Wait()
		step.Replicas = scale.Spec.Replicas
	}
	cancel()
	<-done
	factory.Shutdown()
}

func restMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{appsv1.SchemeGroupVersion})
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	return mapper
}
