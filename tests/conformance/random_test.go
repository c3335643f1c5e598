package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	hpametrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// randomCase is a course of demands, failures and hands that interfere, in which nobody thought of what may go wrong.
type randomCase struct {
	MinReplicas int32 `json:"minReplicas"`
	MaxReplicas int32 `json:"maxReplicas"`
	// The HPA's behavior as it stands in a manifest, or nothing: the autoscaler's older rules.
	Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
	// AverageValue metrics.
	TargetsMilli []int64 `json:"targetsMilli"`
	// One every 15 seconds: the replicas before, the replicas after, and each metric's value in thousandths, or null: an error.
	// Where the first is not what the last sync ended with, KEDA or a person set it.
	Syncs [][]*int64 `json:"syncs"`
}

// externalMetrics answers for several metrics by their names.
type externalMetrics struct {
	hpametrics.MetricsClient
	values map[string]*int64
}

func (m *externalMetrics) GetExternalMetric(name, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	value := m.values[name]
	if value == nil {
		return nil, time.Time{}, errors.New("the metric has no value")
	}
	return []int64{*value}, time.Now(), nil
}

func pick[T any](random *rand.Rand, of ...T) T { return of[random.Intn(len(of))] }

func randomRules(random *rand.Rand, windows []int32) *autoscalingv2.HPAScalingRules {
	if random.Intn(8) == 0 {
		return nil
	}
	rules := &autoscalingv2.HPAScalingRules{}
	if random.Intn(4) > 0 {
		window := pick(random, windows...)
		rules.StabilizationWindowSeconds = &window
	}
	if random.Intn(3) == 0 {
		selected := pick(random, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect, autoscalingv2.DisabledPolicySelect)
		rules.SelectPolicy = &selected
	}
	if random.Intn(4) == 0 {
		tolerance := resource.MustParse(pick(random, "0", "50m", "200m"))
		rules.Tolerance = &tolerance
	}
	for range random.Intn(3) {
		kind := pick(random, autoscalingv2.PodsScalingPolicy, autoscalingv2.PercentScalingPolicy)
		rules.Policies = append(rules.Policies, policy(kind, pick[int32](random, 1, 3, 4, 10, 33, 50, 100), pick[int32](random, 15, 30, 60, 90)))
	}
	return rules
}

func TestRandomSequences(t *testing.T) {
	var cases []randomCase
	for seed := range int64(120) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewSource(seed))
			test := randomCase{
				MinReplicas:  pick[int32](random, 1, 1, 2, 5),
				MaxReplicas:  pick[int32](random, 5, 8, 20, 50, 100),
				TargetsMilli: []int64{pick[int64](random, 1_000, 2_500, 5_000, 9_000, 10_000)},
			}
			if random.Intn(3) == 0 {
				test.TargetsMilli = append(test.TargetsMilli, pick[int64](random, 1_000, 1_000_000_000_000))
			}
			if random.Intn(5) > 0 {
				test.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{
					ScaleUp:   randomRules(random, []int32{0, 0, 15, 60, 120, 300}),
					ScaleDown: randomRules(random, []int32{0, 60, 120, 120, 300}),
				}
			}
			test.run(t, random)
			cases = append(cases, test)
		})
	}
	keep(t, "random-sequences", "What the Kubernetes autoscaler does sync by sync in random courses, run in its own controller with a clock of its own.", []string{kubernetesModule}, cases)
}

// run plays a course against the controller. It is in a bubble: time passes when everybody waits.
func (c *randomCase) run(t *testing.T, random *rand.Rand) {
	ctx, cancel := context.WithCancel(t.Context())
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "keda-hpa-worker", Namespace: "shop"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "worker"},
			MinReplicas:    &c.MinReplicas,
			MaxReplicas:    c.MaxReplicas,
			Behavior:       withDefaults(c.Behavior),
		},
	}
	for index, target := range c.TargetsMilli {
		hpa.Spec.Metrics = append(hpa.Spec.Metrics, autoscalingv2.MetricSpec{
			Type: autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: metricName(index)},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(target, resource.DecimalSI)},
			},
		})
	}
	start := pick[int32](random, 0, 1, 1, 3, c.MaxReplicas)
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: "shop"},
		Spec:       autoscalingv1.ScaleSpec{Replicas: start},
		Status:     autoscalingv1.ScaleStatus{Replicas: start, Selector: "app=worker"},
	}
	scales := &scalefake.FakeScaleClient{}
	scales.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) { return true, scale.DeepCopy(), nil })
	scales.AddReactor("update", "deployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
		updated := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		scale = updated.DeepCopy()
		scale.Status.Replicas = scale.Spec.Replicas
		return true, updated, nil
	})
	client := fake.NewClientset(hpa)
	metrics := &externalMetrics{}
	factory := informers.NewSharedInformerFactory(client, 0)
	controller := podautoscaler.NewHorizontalController(ctx, client.CoreV1(), scales, client.AutoscalingV2(), restMapper(), metrics,
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(), syncPeriod, downscaleWindow, defaultTolerance, cpuInitialization, initialReadiness)
	factory.Start(ctx.Done())
	done := make(chan struct{})
	go func() {
		controller.Run(ctx, 1)
		close(done)
	}()
	demands := make([]int64, len(c.TargetsMilli))
	for index := range 34 {
		if random.Intn(12) == 0 {
			replicas := pick(random, 0, 1, c.MinReplicas, c.MaxReplicas+3)
			scale.Spec.Replicas, scale.Status.Replicas = replicas, replicas
		}
		before := int64(scale.Spec.Replicas)
		sync := []*int64{&before, nil}
		metrics.values = make(map[string]*int64)
		for number, target := range c.TargetsMilli {
			if index == 0 || random.Intn(5) == 0 {
				demands[number] = pick(random, 0, 1, target, target+1, target*before*11/10, target*before*9/10,
					target*random.Int63n(int64(c.MaxReplicas)+5)+random.Int63n(target+1), target*int64(c.MaxReplicas))
			}
			if random.Intn(15) == 0 {
				sync = append(sync, nil)
				continue
			}
			value := demands[number]
			sync = append(sync, &value)
			metrics.values[metricName(number)] = &value
		}
		wait := syncPeriod
		if index == 0 {
			// From here on every change lies between two syncs.
			wait += time.Second
		}
		time.Sleep(wait)
		synctest.Wait()
		after := int64(scale.Spec.Replicas)
		sync[1] = &after
		c.Syncs = append(c.Syncs, sync)
	}
	cancel()
	<-done
	factory.Shutdown()
}

func metricName(index int) string { return fmt.Sprintf("s%d-prometheus", index) }
