package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers/authentication"
	"github.com/kedacore/keda/v2/pkg/scaling"
)

// pollCase is the first poll of KEDA's whole loop, and what the autoscaler is then answered.
type pollCase struct {
	Name string `json:"name"`
	// Of the ScaledObject; its cooldown is over.
	Min       int32         `json:"min"`
	Fallback  *fallbackSpec `json:"fallback,omitempty"`
	Modifiers *modifiers    `json:"modifiers,omitempty"`
	Triggers  []pollTrigger `json:"triggers"`
	Replicas  int32         `json:"replicas"`
	// Whether another of KEDA's questions for the same ScaledObject fails while this poll waits for its answer.
	Beside bool `json:"beside,omitempty"`

	// What the poll sets the replicas to; absent is untouched.
	Sets *int32 `json:"sets,omitempty"`
	// Whether the time of the last activity becomes now.
	Refreshes   bool   `json:"refreshes"`
	Ready       string `json:"ready"`
	ReadyReason string `json:"readyReason"`
	Active      string `json:"active"`
	// What the autoscaler gets for each of its metrics.
	Metrics []pollMetric `json:"metrics"`
}

type pollTrigger struct {
	Name             string   `json:"name"`
	Response         response `json:"response"`
	IgnoreNullValues string   `json:"ignoreNullValues"`
	Threshold        string   `json:"threshold"`
}

type pollMetric struct {
	Name  string    `json:"name"`
	Value *quantity `json:"value,omitempty"`
	Error string    `json:"error,omitempty"`
}

func TestPolls(t *testing.T) {
	trigger := func(name string, answer response) pollTrigger {
		return pollTrigger{Name: name, Response: answer, IgnoreNullValues: "false", Threshold: "10"}
	}
	empty, down := success("vector", "[]"), response{Status: 503}
	wake := func(answer response) pollTrigger {
		result := trigger("wake", answer)
		result.Threshold = "1000000000"
		return result
	}
	mistyped := trigger("demand", value("30"))
	mistyped.Threshold = "10%"
	forgiving := trigger("demand", empty)
	forgiving.IgnoreNullValues = "true"
	at := func(name string, replicas int32, triggers ...pollTrigger) pollCase {
		return pollCase{Name: name, Replicas: replicas, Triggers: triggers}
	}
	falling := func(test pollCase, threshold, replicas int32) pollCase {
		test.Fallback = &fallbackSpec{FailureThreshold: threshold, Replicas: replicas, Behavior: kedav1alpha1.FallbackBehaviorCurrentReplicasIfHigher}
		return test
	}
	composed := func(formula string, test pollCase) pollCase {
		test.Modifiers = &modifiers{Formula: formula, Target: "10"}
		return test
	}
	cases := []pollCase{
		at("demand, asleep", 0, trigger("demand", value("30"))),
		at("demand, awake", 2, trigger("demand", value("30"))),
		at("none, awake", 2, trigger("demand", value("0"))),
		at("no answer, asleep", 0, trigger("demand", empty)),
		at("no answer, awake", 2, trigger("demand", empty)),
		at("no answer taken for 0, awake", 2, forgiving),
		at("Prometheus down, awake", 2, trigger("demand", down)),
		at("a queue is missing and another has demand, asleep: the wake trigger", 0, trigger("demand", empty), wake(value("3"))),
		at("a queue is missing and another has demand, awake", 2, trigger("demand", empty), wake(value("3"))),
		at("a queue is missing and the others have none, awake", 2, trigger("demand", empty), wake(value("0"))),
		at("all is seen and nothing to do, awake", 2, trigger("demand", value("0")), wake(value("0"))),
		at("one trigger cannot be built, another has demand, asleep", 0, mistyped, trigger("other", value("30"))),
		falling(at("no answer, asleep, fallback from the first failure on", 0, trigger("demand", down)), 0, 5),
		falling(at("no answer, awake, fallback from the first failure on", 2, trigger("demand", down)), 0, 5),
		falling(at("no answer, more run, fallback from the first failure on", 8, trigger("demand", down)), 0, 5),
		falling(at("no answer, awake, fallback after three failures", 2, trigger("demand", down)), 3, 5),
		falling(at("no answer, asleep, fallback after three failures", 0, trigger("demand", down)), 3, 5),
		falling(at("one trigger cannot be built, awake, fallback from the first failure on", 2, mistyped), 0, 5),
		composed("demand + other", at("a formula, asleep", 0, trigger("demand", value("30")), trigger("other", value("5")))),
		composed("demand + other", at("a formula, one trigger fails, asleep", 0, trigger("demand", value("30")), trigger("other", empty))),
		composed("demand + other", at("a formula, one trigger fails, awake", 2, trigger("demand", value("30")), trigger("other", empty))),
		composed("demand - other", at("a formula below 0, awake", 2, trigger("demand", value("3")), trigger("other", value("5")))),
	}
	besides := at("Prometheus down, awake, and another question fails meanwhile: KEDA takes it for 0", 2, trigger("demand", down))
	besides.Beside = true
	besidesFalling := falling(at("the same with a fallback after three failures", 2, trigger("demand", down)), 3, 5)
	besidesFalling.Beside = true
	cases = append(cases, besides, besidesFalling)
	for index := range cases {
		cases[index].run(t)
	}
	keep(t, "polls", "What the first poll of KEDA's whole loop does, and what the autoscaler is then answered.", []string{kedaModule}, cases)
}

// patience is how long a poll may take; it takes milliseconds.
const patience = 20 * time.Second

func (c *pollCase) run(t *testing.T) {
	t.Helper()
	object := scaledObject()
	longAgo := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	object.CreationTimestamp, object.Status.LastActiveTime = longAgo, &longAgo
	object.Spec.MinReplicaCount = &c.Min
	// The next poll is not waited for.
	object.Spec.PollingInterval = ptr.To(int32(3600))
	if c.Fallback != nil {
		object.Spec.Fallback = &kedav1alpha1.Fallback{FailureThreshold: c.Fallback.FailureThreshold, Replicas: c.Fallback.Replicas, Behavior: c.Fallback.Behavior}
	}
	if c.Modifiers != nil {
		object.Spec.Advanced = &kedav1alpha1.AdvancedConfig{ScalingModifiers: kedav1alpha1.ScalingModifiers{Formula: c.Modifiers.Formula, Target: c.Modifiers.Target}}
	}
	object.Spec.Triggers = nil
	var meanwhile func()
	for index, trigger := range c.Triggers {
		address, _ := stub(t, trigger.Response, func() {
			if meanwhile != nil {
				meanwhile()
			}
		})
		object.Spec.Triggers = append(object.Spec.Triggers, kedav1alpha1.ScaleTriggers{Type: "prometheus", Name: trigger.Name, Metadata: map[string]string{
			"serverAddress": address, "query": trigger.Name, "threshold": trigger.Threshold, "ignoreNullValues": trigger.IgnoreNullValues,
		}})
		object.Status.ExternalMetricNames = append(object.Status.ExternalMetricNames, fmt.Sprintf("s%d-prometheus", index))
	}
	names := object.Status.ExternalMetricNames
	if c.Modifiers != nil {
		names = []string{kedav1alpha1.CompositeMetricName}
		object.Status.CompositeScalerName = kedav1alpha1.CompositeMetricName
	}
	cluster := newCluster(t, &c.Replicas, 0, object)
	// The loop tells nobody when a poll is over, but asks for the ScaledObject at its beginning and, if it came so far, for the
	// status at its end; a build that fails tells an event.
	recorder := events.NewFakeRecorder(256)
	handler := scaling.NewScaleHandler(cluster.client, cluster.scales, cluster.client.Scheme(), 3*time.Second, recorder, &authentication.AuthClientSet{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// KEDA's two goroutines for a ScaledObject would each build the scalers, and the one close the other's in the middle of the
	// poll. Here they find them built.
	if _, err := handler.GetScalersCache(ctx, object); err != nil && !c.broken() {
		t.Fatal(err)
	}
	if c.Beside {
		var once sync.Once
		meanwhile = func() {
			once.Do(func() {
				// What GetScaledObjectMetrics, the autoscaler's question, does when it fails.
				if err := handler.ClearScalersCache(ctx, object); err != nil {
					t.Error(err)
				}
				// The cache is closed by another goroutine.
				time.Sleep(100 * time.Millisecond)
			})
		}
	}
	if err := handler.HandleScalableObject(ctx, object); err != nil {
		t.Fatal(err)
	}
	polled := &kedav1alpha1.ScaledObject{}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err := cluster.client.Get(ctx, client.ObjectKeyFromObject(object), polled); err != nil {
			t.Fatal(err)
		}
		ready := polled.Status.Conditions.GetReadyCondition()
		if !ready.IsUnknown() || ready.Reason != "" {
			break
		}
		if c.broken() && len(recorder.Events) > 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the poll does not end", c.Name)
		}
	}
	if cluster.writes > 0 {
		c.Sets = ptr.To(cluster.replicas)
	}
	c.Refreshes = !polled.Status.LastActiveTime.Equal(&longAgo)
	ready, active := polled.Status.Conditions.GetReadyCondition(), polled.Status.Conditions.GetActiveCondition()
	c.Ready, c.ReadyReason, c.Active = string(ready.Status), ready.Reason, string(active.Status)
	for _, name := range names {
		metric := pollMetric{Name: name}
		answer, err := handler.GetScaledObjectMetrics(ctx, object.Name, object.Namespace, name)
		switch {
		case err != nil:
			metric.Error = stable(err.Error())
		case len(answer.Items) != 1:
			metric.Error = fmt.Sprintf("%d values", len(answer.Items))
		default:
			value := quantityOf(answer.Items[0].Value)
			metric.Value = &value
		}
		c.Metrics = append(c.Metrics, metric)
	}
	if err := handler.DeleteScalableObject(ctx, object); err != nil {
		t.Fatal(err)
	}
}

// broken says whether KEDA cannot build a trigger.
func (c *pollCase) broken() bool {
	for _, trigger := range c.Triggers {
		if trigger.Threshold == "10%" {
			return true
		}
	}
	return false
}
