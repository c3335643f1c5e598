package conformance

import (
	"errors"
	"sync"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/metrics/pkg/apis/external_metrics"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/fallback"
	"github.com/kedacore/keda/v2/pkg/scalers"
)

type fallbackCase struct {
	Name     string       `json:"name"`
	Fallback fallbackSpec `json:"fallback"`
	// The trigger's.
	MetricType string  `json:"metricType"`
	Threshold  float64 `json:"threshold"`
	// Of advanced.scalingModifiers; absent where there are none.
	Modifiers *modifiers `json:"modifiers,omitempty"`
	// The target's .spec.replicas and its pods that are running and ready.
	Replicas  int32 `json:"replicas"`
	ReadyPods int   `json:"readyPods"`
	// One every time that KEDA or the autoscaler asks.
	Calls []fallbackCall `json:"calls"`
}

type fallbackSpec struct {
	FailureThreshold int32  `json:"failureThreshold"`
	Replicas         int32  `json:"replicas"`
	Behavior         string `json:"behavior,omitempty"`
}

type modifiers struct {
	Formula    string `json:"formula"`
	Target     string `json:"target"`
	MetricType string `json:"metricType,omitempty"`
}

type fallbackCall struct {
	// Whether the trigger had a value (7) or was an error.
	Fails bool `json:"fails"`
	// What is passed on.
	Value *quantity `json:"value,omitempty"`
	// Whether it is the fallback's value, which makes the trigger active.
	Fallback bool `json:"fallback"`
	// "trigger": the trigger's error is passed on. "fallback": the fallback itself failed.
	Error string `json:"error,omitempty"`
	// status.health afterwards.
	Failures *int32 `json:"failures,omitempty"`
}

func TestFallback(t *testing.T) {
	fails := func(outcomes string) []fallbackCall {
		calls := make([]fallbackCall, len(outcomes))
		for index := range outcomes {
			calls[index].Fails = outcomes[index] == 'x'
		}
		return calls
	}
	base := func(name, behavior string, replicas, current int32) fallbackCase {
		return fallbackCase{Name: name, Fallback: fallbackSpec{FailureThreshold: 0, Replicas: replicas, Behavior: behavior}, MetricType: "AverageValue", Threshold: 5, Replicas: current, Calls: fails("x")}
	}
	threshold := base("threshold 3: the fourth failure, then success, then again", "static", 6, 2)
	threshold.Fallback.FailureThreshold, threshold.Calls = 3, fails("xxxxxoxxxxx")
	interrupted := base("a success starts the count anew", "static", 6, 2)
	interrupted.Fallback.FailureThreshold, interrupted.Calls = 1, fails("xoxoxx")
	fraction := base("threshold 2.5", "static", 3, 1)
	fraction.Threshold = 2.5
	tiny := base("threshold 0.0004, which is 0 in the HPA", "static", 3, 1)
	tiny.Threshold = 0.0004
	odd := base("threshold 0.333", "static", 3, 1)
	odd.Threshold = 0.333
	value := func(name, behavior string, replicas, current int32, ready int) fallbackCase {
		test := base(name, behavior, replicas, current)
		test.MetricType, test.ReadyPods = "Value", ready
		return test
	}
	composed := func(name, target, metricType string, ready int) fallbackCase {
		test := base(name, "static", 6, 2)
		test.Modifiers, test.ReadyPods = &modifiers{Formula: "demand * 2", Target: target, MetricType: metricType}, ready
		return test
	}
	placeholder := base("behavior scalingModifiers: a placeholder for the formula", "scalingModifiers", 6, 2)
	placeholder.Modifiers = &modifiers{Formula: "demand ?? 8", Target: "5"}
	cases := []fallbackCase{
		threshold, interrupted, fraction, tiny, odd,
		base("no behavior, as the API server would fill it in: static", "", 6, 2),
		base("static", "static", 6, 2), base("static, at 0", "static", 6, 0), base("static 0", "static", 0, 4),
		base("currentReplicas", "currentReplicas", 6, 2), base("currentReplicas, at 0", "currentReplicas", 6, 0),
		base("currentReplicasIfHigher, more run", "currentReplicasIfHigher", 6, 9), base("currentReplicasIfHigher, fewer run", "currentReplicasIfHigher", 6, 2), base("currentReplicasIfHigher, at 0", "currentReplicasIfHigher", 6, 0),
		base("currentReplicasIfLower, more run", "currentReplicasIfLower", 6, 9), base("currentReplicasIfLower, fewer run", "currentReplicasIfLower", 6, 2), base("currentReplicasIfLower, at 0", "currentReplicasIfLower", 6, 0),
		base("a behavior that is not known is static", "hold", 6, 2),
		value("Value", "static", 6, 2, 2), value("Value, three pods ready", "static", 6, 4, 3), value("Value, no pod ready", "static", 6, 2, 0), value("Value, currentReplicas", "currentReplicas", 6, 4, 2),
		composed("modifiers, target 5", "5", "", 2), composed("modifiers, target 2.5: no fallback at all", "2.5", "", 2), composed("modifiers, target 5.0: no fallback at all", "5.0", "", 2),
		composed("modifiers, Value", "5", "Value", 2), composed("modifiers, Value, no pod ready", "5", "Value", 0),
		placeholder,
	}
	for index := range cases {
		cases[index].run(t)
	}
	keep(t, "fallback", "What KEDA passes on when a trigger fails, call by call.", []string{kedaModule}, cases)
}

func (c *fallbackCase) run(t *testing.T) {
	t.Helper()
	object := scaledObject()
	object.Spec.Fallback = &kedav1alpha1.Fallback{FailureThreshold: c.Fallback.FailureThreshold, Replicas: c.Fallback.Replicas, Behavior: c.Fallback.Behavior}
	if c.Modifiers != nil {
		object.Spec.Advanced = &kedav1alpha1.AdvancedConfig{ScalingModifiers: kedav1alpha1.ScalingModifiers{
			Formula: c.Modifiers.Formula, Target: c.Modifiers.Target, MetricType: autoscalingv2.MetricTargetType(c.Modifiers.MetricType),
		}}
	}
	cluster := newCluster(t, &c.Replicas, c.ReadyPods, object)
	const metric = "s0-prometheus"
	handler := fallback.ScaledObjectHandler{Ctx: t.Context(), KubeClient: cluster.client, ScaleClient: cluster.scales, UpdateLock: &sync.RWMutex{}, ScaledObject: object}
	spec := autoscalingv2.MetricSpec{External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: metric},
		Target: scalers.GetMetricTargetMili(autoscalingv2.MetricTargetType(c.MetricType), c.Threshold),
	}}
	failure := errors.New("the trigger failed")
	for index := range c.Calls {
		call := &c.Calls[index]
		answer := []external_metrics.ExternalMetricValue{scalers.GenerateMetricInMili(metric, 7)}
		var problem error
		if call.Fails {
			answer, problem = nil, failure
		}
		values, active, err := fallback.GetMetricsWithFallback(handler, answer, problem, metric, spec)
		call.Fallback = active
		switch {
		case errors.Is(err, failure):
			call.Error = "trigger"
		case err != nil:
			call.Error = "fallback"
		default:
			value := quantityOf(values[0].Value)
			call.Value = &value
		}
		call.Failures = object.Status.Health[metric].NumberOfFailures
		if call.Failures != nil {
			failures := *call.Failures
			call.Failures = &failures
		}
	}
}
