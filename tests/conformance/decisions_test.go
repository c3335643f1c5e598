package conformance

import (
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scaling/executor"
)

// decisionCase is one poll of KEDA's loop: what it knows and what it does to the replicas.
type decisionCase struct {
	// Of the ScaledObject; absent is not written.
	Min         *int32            `json:"min,omitempty"`
	Idle        *int32            `json:"idle,omitempty"`
	Fallback    *int32            `json:"fallback,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// The Deployment's replicas; absent is not written.
	Replicas *int32 `json:"replicas,omitempty"`
	// What the triggers say: any is active (or its fallback is), any is an error that no fallback took.
	Active bool `json:"active"`
	Error  bool `json:"error"`
	// Seconds since a trigger was last active (absent: never) and since the ScaledObject was created. cooldownPeriod is 300,
	// initialCooldownPeriod 60.
	SinceActive  *int `json:"sinceActive,omitempty"`
	SinceCreated int  `json:"sinceCreated"`

	// What the poll sets the replicas to; absent is untouched.
	Sets *int32 `json:"sets,omitempty"`
	// Whether the time of the last activity becomes now.
	Refreshes bool `json:"refreshes"`
	// The conditions' status and reason.
	Ready         string `json:"ready"`
	ReadyReason   string `json:"readyReason"`
	ActiveStatus  string `json:"activeStatus"`
	ActiveReasons string `json:"activeReason"`
}

const (
	cooldown        = 300
	initialCooldown = 60
)

func TestDecisions(t *testing.T) {
	none := (*int32)(nil)
	bounds := []*int32{none, ptr.To(int32(0)), ptr.To(int32(2))}
	current := []*int32{ptr.To(int32(0)), ptr.To(int32(1)), ptr.To(int32(3))}
	idles := []*int32{none, ptr.To(int32(0)), ptr.To(int32(1))}
	fallbacks := []*int32{none, ptr.To(int32(0)), ptr.To(int32(5))}
	type ages struct {
		active  *int
		created int
	}
	var cases []decisionCase
	for _, active := range []bool{true, false} {
		// Where a trigger is active, nothing depends on when one was.
		times := []ages{{nil, 3600}}
		if !active {
			times = []ages{{nil, initialCooldown}, {nil, initialCooldown + 1}, {ptr.To(cooldown), 3600}, {ptr.To(cooldown + 1), 3600}}
		}
		for _, failed := range []bool{false, true} {
			for _, low := range bounds {
				for _, idle := range idles {
					if idle != nil && (low == nil || *idle >= max(1, *low)) {
						// KEDA's webhook refuses it.
						continue
					}
					for _, fallback := range fallbacks {
						for _, replicas := range current {
							for _, age := range times {
								cases = append(cases, decisionCase{Min: low, Idle: idle, Fallback: fallback, Replicas: replicas, Active: active, Error: failed, SinceActive: age.active, SinceCreated: age.created})
							}
						}
					}
				}
			}
		}
	}
	zero, two := ptr.To(int32(0)), ptr.To(int32(2))
	annotated := func(name, value string, test decisionCase) decisionCase {
		test.Annotations, test.SinceCreated = map[string]string{name: value}, 3600
		return test
	}
	const prefix = "autoscaling.keda.sh/"
	idling := decisionCase{Min: zero, Replicas: two, SinceActive: ptr.To(cooldown + 1)}
	waking := decisionCase{Min: zero, Replicas: zero, Active: true}
	cases = append(cases,
		decisionCase{Min: zero, Active: true, SinceCreated: 3600},
		decisionCase{Min: zero, SinceActive: ptr.To(cooldown + 1), SinceCreated: 3600},
		annotated(prefix+"paused", "true", idling), annotated(prefix+"paused", "true", waking),
		annotated(prefix+"paused", "false", idling), annotated(prefix+"paused", "soon", idling), annotated(prefix+"paused", "", idling),
		annotated(prefix+"paused-replicas", "5", idling), annotated(prefix+"paused-replicas", "many", idling),
		annotated(prefix+"paused-scale-in", "true", idling), annotated(prefix+"paused-scale-in", "true", waking), annotated(prefix+"paused-scale-in", "false", idling),
		annotated(prefix+"paused-scale-out", "true", waking), annotated(prefix+"paused-scale-out", "true", idling),
		annotated(prefix+"force-activation", "true", decisionCase{Min: zero, Replicas: zero}), annotated(prefix+"force-activation", "true", idling),
		annotated(prefix+"force-activation", "false", decisionCase{Min: zero, Replicas: zero}),
	)
	for index := range cases {
		synctest.Test(t, func(t *testing.T) { cases[index].poll(t) })
	}
	keep(t, "decisions", "What one poll of KEDA's loop does to the replicas; cooldownPeriod 300, initialCooldownPeriod 60.", []string{kedaModule}, cases)
}

// poll asks KEDA's executor. It is in a bubble, so that a second is a second.
func (c *decisionCase) poll(t *testing.T) {
	object := scaledObject()
	object.Annotations = c.Annotations
	object.CreationTimestamp = metav1.NewTime(time.Now().Add(-time.Duration(c.SinceCreated) * time.Second))
	object.Spec.MinReplicaCount, object.Spec.IdleReplicaCount = c.Min, c.Idle
	object.Spec.CooldownPeriod, object.Spec.InitialCooldownPeriod = ptr.To(int32(cooldown)), ptr.To(int32(initialCooldown))
	if c.Fallback != nil {
		object.Spec.Fallback = &kedav1alpha1.Fallback{FailureThreshold: 3, Replicas: *c.Fallback, Behavior: kedav1alpha1.FallbackBehaviorStatic}
	}
	if c.SinceActive != nil {
		object.Status.LastActiveTime = &metav1.Time{Time: time.Now().Add(-time.Duration(*c.SinceActive) * time.Second)}
	}
	cluster := newCluster(t, c.Replicas, 0, object)
	scaleExecutor := executor.NewScaleExecutor(cluster.client, cluster.scales, cluster.client.Scheme(), events.NewFakeRecorder(8))
	result := scaleExecutor.RequestScale(t.Context(), object, c.Active, c.Error, executor.ScaleExecutorOptions{})
	if result.Error != nil {
		t.Fatal(result.Error)
	}
	if cluster.writes > 0 {
		c.Sets = ptr.To(cluster.replicas)
	}
	c.Refreshes = result.LastActiveTime != nil
	ready, active := result.Conditions.GetReadyCondition(), result.Conditions.GetActiveCondition()
	c.Ready, c.ReadyReason = string(ready.Status), ready.Reason
	c.ActiveStatus, c.ActiveReasons = string(active.Status), active.Reason
}
