// Package podautoscaler is Kubernetes' own, and this file is put beside its sources by run.sh: only from inside can the controller be
// driven look by look, in the time of testing/synctest, without an API server.
package podautoscaler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	scaleclient "k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	metricsclient "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/monitor"
	"k8s.io/kubernetes/pkg/controller/util/selectors"
)

type fakeMetrics struct{ values map[string]*int64 }

func (f *fakeMetrics) GetResourceMetric(context.Context, v1.ResourceName, string, labels.Selector, string) (metricsclient.PodMetricsInfo, time.Time, error) {
	panic("unused")
}
func (f *fakeMetrics) GetRawMetric(string, string, labels.Selector, labels.Selector) (metricsclient.PodMetricsInfo, time.Time, error) {
	panic("unused")
}
func (f *fakeMetrics) GetObjectMetric(string, string, *autoscalingv2.CrossVersionObjectReference, labels.Selector) (int64, time.Time, error) {
	panic("unused")
}
func (f *fakeMetrics) GetExternalMetric(name, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	v := f.values[name]
	if v == nil {
		return nil, time.Time{}, fmt.Errorf("no answer")
	}
	return []int64{*v}, time.Now(), nil
}

type fakeScales struct{ replicas int32 }

func (f *fakeScales) Scales(string) scaleclient.ScaleInterface { return &fakeScale{f: f} }

type fakeScale struct {
	scaleclient.ScaleInterface
	f *fakeScales
}

func (s *fakeScale) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	return &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: s.f.replicas}, Status: autoscalingv1.ScaleStatus{Replicas: s.f.replicas, Selector: "a=b"}}, nil
}
func (s *fakeScale) Update(_ context.Context, _ schema.GroupResource, scale *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	s.f.replicas = scale.Spec.Replicas
	return scale, nil
}

type fakeHPAs struct{}

func (fakeHPAs) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return fakeHPA{}
}

type fakeHPA struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
}

func (fakeHPA) UpdateStatus(_ context.Context, h *autoscalingv2.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	return h, nil
}

type policy struct {
	Type   string `json:"type"`
	Value  int32  `json:"value"`
	Period int32  `json:"period"`
}
type rules struct {
	Window    *int32   `json:"window"`
	Select    *string  `json:"select"`
	Tolerance *string  `json:"tolerance"`
	Policies  []policy `json:"policies"`
}
type behavior struct {
	Up   *rules `json:"up"`
	Down *rules `json:"down"`
}

// One look: the replicas that it finds, those that it leaves, and a value or null for each metric.
type step []any

type vector struct {
	Min      int32     `json:"min"`
	Max      int32     `json:"max"`
	Targets  []int64   `json:"targets"`
	Behavior *behavior `json:"behavior"`
	Steps    []step    `json:"steps"`
}

func toRules(r *rules) *autoscalingv2.HPAScalingRules {
	if r == nil {
		return nil
	}
	out := &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: r.Window}
	if r.Select != nil {
		s := autoscalingv2.ScalingPolicySelect(*r.Select)
		out.SelectPolicy = &s
	}
	if r.Tolerance != nil {
		q := resource.MustParse(*r.Tolerance)
		out.Tolerance = &q
	}
	for _, p := range r.Policies {
		out.Policies = append(out.Policies, autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.HPAScalingPolicyType(p.Type), Value: p.Value, PeriodSeconds: p.Period})
	}
	return out
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.Intn(len(of))] }

func randomRules(r *rand.Rand, up bool) *rules {
	if r.Intn(8) == 0 {
		return nil
	}
	out := &rules{}
	if r.Intn(4) > 0 {
		w := pick[int32](r, 0, 0, 15, 60, 120, 300)
		if !up {
			w = pick[int32](r, 0, 60, 120, 120, 300)
		}
		out.Window = &w
	}
	if r.Intn(3) == 0 {
		s := pick(r, "Max", "Min", "Disabled")
		out.Select = &s
	}
	if r.Intn(4) == 0 {
		t := pick(r, "0", "50m", "200m")
		out.Tolerance = &t
	}
	for i := r.Intn(3); i > 0; i-- {
		out.Policies = append(out.Policies, policy{pick(r, "Pods", "Percent"), pick[int32](r, 1, 3, 4, 10, 33, 50, 100), pick[int32](r, 15, 30, 60, 90)})
	}
	return out
}

func play(v *vector, r *rand.Rand) {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h", Namespace: "n"}}
	hpa.Spec.MinReplicas = &v.Min
	hpa.Spec.MaxReplicas = v.Max
	hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "d", APIVersion: "apps/v1"}
	if v.Behavior != nil {
		hpa.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: toRules(v.Behavior.Up), ScaleDown: toRules(v.Behavior.Down)}
	}
	for i, t := range v.Targets {
		hpa.Spec.Metrics = append(hpa.Spec.Metrics, autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: fmt.Sprintf("s%d", i), Selector: &metav1.LabelSelector{}},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(t, resource.DecimalSI)}}})
	}
	defaults.SetDefaults_HorizontalPodAutoscaler(hpa)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	fm := &fakeMetrics{}
	fs := &fakeScales{}
	lister := corelisters.NewPodLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}))
	a := &HorizontalController{
		eventRecorder: &record.FakeRecorder{}, scaleNamespacer: fs, hpaNamespacer: fakeHPAs{}, mapper: mapper,
		tolerance: 0.1, downscaleStabilisationWindow: 300 * time.Second, monitor: monitor.New(),
		recommendations: map[string][]timestampedRecommendation{}, scaleUpEvents: map[string][]timestampedScaleEvent{}, scaleDownEvents: map[string][]timestampedScaleEvent{},
		hpaSelectors: selectors.NewBiMultimap(), podLister: lister,
		replicaCalc: NewReplicaCalculator(fm, lister, time.Minute, time.Minute),
	}
	a.hpaSelectors.PutSelector(selectors.Key{Name: "h", Namespace: "n"}, labels.Everything())
	fs.replicas = pick[int32](r, 0, 1, 1, 3, v.Max)
	demand := make([]int64, len(v.Targets))
	for i := 0; i < 34; i++ {
		if i > 0 {
			time.Sleep(15 * time.Second)
		}
		// KEDA, or a person, steps in.
		if r.Intn(12) == 0 {
			fs.replicas = pick[int32](r, 0, 1, v.Min, v.Max+3)
		}
		before := fs.replicas
		var metrics []any
		fm.values = map[string]*int64{}
		for j, t := range v.Targets {
			if i == 0 || r.Intn(5) == 0 {
				demand[j] = pick[int64](r, 0, 1, t, t+1, t*int64(fs.replicas)*11/10, t*int64(fs.replicas)*9/10, t*int64(r.Intn(int(v.Max)+5))+r.Int63n(t+1), t*int64(v.Max))
			}
			value := demand[j]
			if r.Intn(15) == 0 {
				metrics = append(metrics, nil)
				continue
			}
			metrics = append(metrics, value)
			fm.values[fmt.Sprintf("s%d", j)] = &value
		}
		_ = a.reconcileAutoscaler(context.Background(), hpa, "n/h")
		v.Steps = append(v.Steps, append(step{before, fs.replicas}, metrics...))
	}
}

func TestVectors(t *testing.T) {
	var all []*vector
	for seed := int64(0); seed < 120; seed++ {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewSource(seed))
			v := &vector{Min: pick[int32](r, 1, 1, 2, 5), Max: pick[int32](r, 5, 8, 20, 50, 100)}
			v.Targets = []int64{pick[int64](r, 1000, 2500, 5000, 9000, 10000)}
			if r.Intn(3) == 0 {
				v.Targets = append(v.Targets, pick[int64](r, 1000, 1000000000000))
			}
			if r.Intn(5) > 0 {
				v.Behavior = &behavior{Up: randomRules(r, true), Down: randomRules(r, false)}
			}
			play(v, r)
			all = append(all, v)
		})
	}
	var out bytes.Buffer
	out.WriteString(`{"about":"What the controller of the HorizontalPodAutoscaler makes of external metrics, looked at every 15 s. ` +
		`A step is [replicas before, replicas after, metric or null...]; where it begins elsewhere than the last one ended, somebody else scaled.",` + "\n" +
		`"sources":{"k8s.io/kubernetes":"` + os.Getenv("KUBERNETES") + `"},"cases":[`)
	for i, v := range all {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			out.WriteString(",")
		}
		out.WriteString("\n")
		out.Write(line)
	}
	out.WriteString("\n]}\n")
	if err := os.WriteFile(os.Getenv("VECTORS"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
