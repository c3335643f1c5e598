package conformance

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers/authentication"
	"github.com/kedacore/keda/v2/pkg/scaling"
)

// errorCase is what one more question that fails adds to KEDA's own counters.
type errorCase struct {
	Name     string        `json:"name"`
	Response response      `json:"response"`
	Fallback *fallbackSpec `json:"fallback,omitempty"`
	// How often the autoscaler has asked in vain before.
	Before int `json:"before"`
	// Who asks: "poll" or "autoscaler".
	Asks string `json:"asks"`
	// What is added to each of KEDA's counters of this object; absent is nothing.
	Counts map[string]int `json:"counts"`
}

func TestErrors(t *testing.T) {
	counting()
	hold := &fallbackSpec{FailureThreshold: 3, Replicas: 1, Behavior: kedav1alpha1.FallbackBehaviorCurrentReplicas}
	var cases []errorCase
	for _, failure := range []struct {
		name   string
		answer response
	}{
		{"no element", success("vector", "[]")},
		{"HTTP 503", response{Status: 503}},
		{"refused", response{Fault: "refused"}},
	} {
		for _, asks := range []string{"poll", "autoscaler"} {
			about := failure.name + ", " + asks
			cases = append(cases,
				errorCase{Name: about + ", no fallback", Response: failure.answer, Before: 6, Asks: asks},
				errorCase{Name: about + ", the fallback has not begun", Response: failure.answer, Fallback: hold, Asks: asks},
				errorCase{Name: about + ", the fallback has begun", Response: failure.answer, Fallback: hold, Before: 6, Asks: asks})
		}
	}
	for index := range cases {
		cases[index].run(t, fmt.Sprintf("worker-%d", index))
	}
	keep(t, "errors", "What one more question that fails adds to KEDA's own counters of a ScaledObject.", []string{kedaModule}, cases)
}

func (c *errorCase) run(t *testing.T, name string) {
	t.Helper()
	address, _ := stub(t, c.Response)
	object := scaledObject()
	object.Name = name
	object.Spec.Triggers[0].Metadata["serverAddress"] = address
	object.Spec.Triggers[0].Metadata["ignoreNullValues"] = "false"
	object.Status.ExternalMetricNames = []string{"s0-prometheus"}
	// The next poll is not waited for.
	object.Spec.PollingInterval = ptr.To(int32(3600))
	if c.Fallback != nil {
		object.Spec.Fallback = &kedav1alpha1.Fallback{FailureThreshold: c.Fallback.FailureThreshold, Replicas: c.Fallback.Replicas, Behavior: c.Fallback.Behavior}
	}
	cluster := newCluster(t, ptr.To(int32(2)), 2, object)
	handler := scaling.NewScaleHandler(cluster.client, cluster.scales, cluster.client.Scheme(), 3*time.Second, events.NewFakeRecorder(256), &authentication.AuthClientSet{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ask := func() {
		// What it answers is in the vectors of polls.
		_, _ = handler.GetScaledObjectMetrics(ctx, name, object.Namespace, "s0-prometheus")
	}
	for range c.Before {
		ask()
	}
	if err := cluster.client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	if _, err := handler.GetScalersCache(ctx, object); err != nil {
		t.Fatal(err)
	}
	before := counters(t, name)
	if c.Asks == "autoscaler" {
		ask()
	} else if err := handler.HandleScalableObject(ctx, object); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); c.Asks == "poll"; time.Sleep(5 * time.Millisecond) {
		polled := &kedav1alpha1.ScaledObject{}
		if err := cluster.client.Get(ctx, client.ObjectKeyFromObject(object), polled); err != nil {
			t.Fatal(err)
		}
		if ready := polled.Status.Conditions.GetReadyCondition(); !ready.IsUnknown() || ready.Reason != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the poll does not end", c.Name)
		}
	}
	c.Counts = counters(t, name)
	for series, count := range before {
		c.Counts[series] -= count
	}
	maps.DeleteFunc(c.Counts, func(_ string, count int) bool { return count == 0 })
	if err := handler.DeleteScalableObject(ctx, object); err != nil {
		t.Fatal(err)
	}
}

// counters are those that KEDA has of a ScaledObject, those of HTTP by what they met.
func counters(t *testing.T, name string) map[string]int {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]int)
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "keda_") {
			continue
		}
		for _, series := range family.GetMetric() {
			of, met := false, ""
			for _, label := range series.GetLabel() {
				of = of || label.GetValue() == name
				if label.GetName() == "status_code" {
					met = fmt.Sprintf("{status_code=%q}", label.GetValue())
				}
			}
			if of && series.GetCounter() != nil {
				found[family.GetName()+met] += int(series.GetCounter().GetValue())
			}
		}
	}
	return found
}
