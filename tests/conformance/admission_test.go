package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
)

type admissionCase struct {
	Name   string         `json:"name"`
	Object map[string]any `json:"object"`
	// What else is in the namespace.
	Beside []map[string]any `json:"beside,omitempty"`
	// The fields that the API server drops, which it tells strict clients only.
	Pruned []string `json:"pruned,omitempty"`
	// Why the API server refuses it, by KEDA's CRD.
	Invalid []string `json:"invalid,omitempty"`
	// What KEDA's webhook says of what is left; not asked where the API server refuses it.
	Refused  string   `json:"refused,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// Why the API server refuses the HPA that KEDA makes with its behavior.
	RefusedHPA string `json:"refusedHPA,omitempty"`
}

// admission is the API server's part with KEDA's CRDs, and KEDA's webhook.
type admission struct {
	schemas map[string]*customResource
}

type customResource struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	rules      *schemacel.Validator
}

func newAdmission(t *testing.T) admission {
	t.Helper()
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", kedaModule).Output()
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(strings.TrimSpace(string(output)), "config", "crd")
	result := admission{schemas: make(map[string]*customResource)}
	for _, kind := range []string{"ScaledObject", "ScaledJob", "TriggerAuthentication", "ClusterTriggerAuthentication"} {
		resource, err := newCustomResource(directory, strings.ToLower(kind))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		result.schemas[kind] = resource
	}
	return result
}

// newCustomResource reads a CRD as KEDA's kustomization makes it.
func newCustomResource(directory, name string) (*customResource, error) {
	text, err := os.ReadFile(filepath.Join(directory, "bases", "keda.sh_"+name+"s.yaml"))
	if err != nil {
		return nil, err
	}
	document, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	changes, err := os.ReadFile(filepath.Join(directory, "patches", name+"_patch.yaml"))
	switch {
	case err == nil:
		operations, err := yaml.YAMLToJSON(changes)
		if err != nil {
			return nil, err
		}
		patch, err := jsonpatch.DecodePatch(operations)
		if err != nil {
			return nil, err
		}
		if document, err = patch.Apply(document); err != nil {
			return nil, err
		}
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(document, &definition); err != nil {
		return nil, err
	}
	var schema apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &schema, nil); err != nil {
		return nil, err
	}
	structural, err := structuralschema.NewStructural(&schema)
	if err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(&schema)
	if err != nil {
		return nil, err
	}
	return &customResource{structural, validator, schemacel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// admit does to an object what a create does, in the API server's order.
func (a admission) admit(object map[string]any, beside ...client.Object) (admissionCase, error) {
	var result admissionCase
	resource := a.schemas[fmt.Sprint(object["kind"])]
	if resource == nil {
		return result, fmt.Errorf("no CRD for the kind %v", object["kind"])
	}
	object = runtime.DeepCopyJSON(object)
	result.Pruned = pruning.PruneWithOptions(object, resource.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	slices.Sort(result.Pruned)
	defaulting.Default(object, resource.structural)
	problems := validation.ValidateCustomResource(nil, object, resource.validator)
	problems = append(problems, listtype.ValidateListSetsAndMaps(nil, resource.structural, object)...)
	if len(problems) == 0 && resource.rules != nil {
		found, _ := resource.rules.Validate(context.Background(), nil, resource.structural, object, nil, celconfig.RuntimeCELCostBudget)
		problems = append(problems, found...)
	}
	for _, problem := range problems {
		result.Invalid = append(result.Invalid, problem.Error())
	}
	slices.Sort(result.Invalid)
	if len(problems) > 0 {
		return result, nil
	}
	warnings, err := webhook(object, beside...)
	result.Warnings = warnings
	if err != nil {
		result.Refused = err.Error()
	}
	return result, nil
}

// webhook asks KEDA's, in a namespace with these objects.
func webhook(object map[string]any, beside ...client.Object) (warnings []string, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			// The API server takes the object: KEDA's webhook may fail (failurePolicy Ignore).
			err = fmt.Errorf("the webhook ends with a panic: %v", problem)
		}
	}()
	dryRun := false
	// As KEDA decodes: what its types do not know is left out.
	convert := func(into any) error { return runtime.DefaultUnstructuredConverter.FromUnstructured(object, into) }
	switch object["kind"] {
	case "ScaledObject":
		typed := &kedav1alpha1.ScaledObject{}
		if err := convert(typed); err != nil {
			return nil, err
		}
		if err := lendCluster(beside...); err != nil {
			return nil, err
		}
		return typed.ValidateCreate(&dryRun)
	case "ScaledJob":
		typed := &kedav1alpha1.ScaledJob{}
		if err := convert(typed); err != nil {
			return nil, err
		}
		return typed.ValidateCreate(&dryRun)
	case "TriggerAuthentication":
		typed := &kedav1alpha1.TriggerAuthentication{}
		if err := convert(typed); err != nil {
			return nil, err
		}
		return typed.ValidateCreate(&dryRun)
	case "ClusterTriggerAuthentication":
		typed := &kedav1alpha1.ClusterTriggerAuthentication{}
		if err := convert(typed); err != nil {
			return nil, err
		}
		return typed.ValidateCreate(&dryRun)
	}
	return nil, fmt.Errorf("no webhook for the kind %v", object["kind"])
}

// manager has what KEDA's webhook takes from one before it is registered, and nothing that it needs to be served.
type manager struct {
	ctrl.Manager
	client client.Client
}

func (m manager) GetClient() client.Client                     { return m.client }
func (m manager) GetRESTMapper() meta.RESTMapper               { return restMapper() }
func (m manager) GetEventRecorder(string) events.EventRecorder { return events.NewFakeRecorder(64) }
func (m manager) GetScheme() *runtime.Scheme                   { return m.client.Scheme() }

// lendCluster gives KEDA's webhook, which keeps its client in the package, a namespace with these objects.
func lendCluster(objects ...client.Object) (err error) {
	cluster, err := fakeClient(objects...)
	if err != nil {
		return err
	}
	defer func() {
		// By then it has the client; there is no server to register with.
		_ = recover()
	}()
	_ = (&kedav1alpha1.ScaledObject{}).SetupWebhookWithManager(manager{client: cluster}, false)
	return nil
}

const (
	// A ScaledObject that is fine; cases overwrite its fields.
	fineObject = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: worker, namespace: shop}
spec:
  scaleTargetRef: {name: worker}
  minReplicaCount: 0
  maxReplicaCount: 10
  triggers:
  - type: prometheus
    name: demand
    metadata: {serverAddress: "http://prometheus:9090", query: "demand", threshold: "10"}
`
	fineJob = `
apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata: {name: worker, namespace: shop}
spec:
  jobTargetRef:
    template:
      spec:
        containers: [{name: worker, image: worker}]
  triggers:
  - type: prometheus
    metadata: {serverAddress: "http://prometheus:9090", query: "demand", threshold: "10"}
`
	fineAuthentication = `
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: prometheus, namespace: shop}
spec:
  secretTargetRef: [{parameter: bearerToken, name: prometheus, key: token}]
`
	otherHPA = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: worker, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}, maxReplicas: 5}
`
	requesting = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker, namespace: shop}
spec:
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec: {containers: [{name: worker, image: worker, resources: {requests: {cpu: 100m}}}]}
`
	ownedElsewhere = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: other, namespace: shop}
spec: {scaleTargetRef: {name: other}, triggers: [{type: cron, metadata: {start: "0 0 * * *", end: "1 0 * * *", timezone: UTC, desiredReplicas: "1"}}]}
`
)

// change is an object with its spec's fields overwritten by those of a flow of YAML.
func change(object, spec string) string { return object + "---\n" + spec }

func TestAdmission(t *testing.T) {
	name := func(length int) string { return "metadata: {name: " + strings.Repeat("a", length) + "}" }
	trigger := func(fields string) string {
		return `spec: {triggers: [{type: prometheus, ` + fields + `}]}`
	}
	const metadata = `metadata: {serverAddress: "http://prometheus:9090", query: demand, threshold: "10"}`
	behavior := func(text string) string {
		return "spec: {advanced: {horizontalPodAutoscalerConfig: {behavior: " + text + "}}}"
	}
	composed := func(formula, target, fields string) string {
		return fmt.Sprintf("spec: {advanced: {scalingModifiers: {formula: %q, target: %q%s}}}", formula, target, fields)
	}
	cases := []struct {
		name, object string
		beside       []string
	}{
		{name: "fine", object: fineObject},
		{name: "min above max", object: change(fineObject, "spec: {minReplicaCount: 11}")},
		{name: "min above the default max of 100", object: change(fineObject, "spec: {minReplicaCount: 101, maxReplicaCount: null}")},
		{name: "min 0, max 0", object: change(fineObject, "spec: {maxReplicaCount: 0}")},
		{name: "min negative", object: change(fineObject, "spec: {minReplicaCount: -1}")},
		{name: "idle 0, min 0", object: change(fineObject, "spec: {idleReplicaCount: 0}")},
		{name: "idle 0, min not written", object: change(fineObject, "spec: {idleReplicaCount: 0, minReplicaCount: null}")},
		{name: "idle 1, min 1", object: change(fineObject, "spec: {idleReplicaCount: 1, minReplicaCount: 1}")},
		{name: "idle 1, min 2", object: change(fineObject, "spec: {idleReplicaCount: 1, minReplicaCount: 2}")},
		{name: "pollingInterval 0", object: change(fineObject, "spec: {pollingInterval: 0}")},
		{name: "pollingInterval with min 1", object: change(fineObject, "spec: {minReplicaCount: 1, pollingInterval: 15}")},
		{name: "pollingInterval with min 1 and cached metrics", object: change(change(fineObject, "spec: {minReplicaCount: 1, pollingInterval: 15}"), trigger("useCachedMetrics: true, "+metadata))},
		{name: "pollingInterval with min 2 and idle 0", object: change(fineObject, "spec: {minReplicaCount: 2, idleReplicaCount: 0, pollingInterval: 15}")},
		{name: "cooldownPeriod with min 1", object: change(fineObject, "spec: {minReplicaCount: 1, cooldownPeriod: 60}")},
		{name: "initialCooldownPeriod with min 1", object: change(fineObject, "spec: {minReplicaCount: 1, initialCooldownPeriod: 60}")},
		{name: "cooldownPeriod a duration", object: change(fineObject, `spec: {cooldownPeriod: "5m"}`)},
		{name: "maxReplicaCount a string", object: change(fineObject, `spec: {maxReplicaCount: "5"}`)},
		{name: "a name of 54 characters", object: change(fineObject, name(54))},
		{name: "a name of 55 characters", object: change(fineObject, name(55))},
		{name: "a name of 63 characters, the HPA named", object: change(change(fineObject, name(63)), "spec: {advanced: {horizontalPodAutoscalerConfig: {name: short}}}")},
		{name: "a name of 64 characters, the HPA named", object: change(change(fineObject, name(64)), "spec: {advanced: {horizontalPodAutoscalerConfig: {name: short}}}")},
		{name: "fallback without behavior", object: change(fineObject, "spec: {fallback: {failureThreshold: 3, replicas: 5}}")},
		{name: "fallback without replicas", object: change(fineObject, "spec: {fallback: {failureThreshold: 3}}")},
		{name: "fallback replicas negative", object: change(fineObject, "spec: {fallback: {failureThreshold: 3, replicas: -1}}")},
		{name: "fallback replicas 0", object: change(fineObject, "spec: {fallback: {failureThreshold: 3, replicas: 0}}")},
		{name: "fallback replicas above max", object: change(fineObject, "spec: {fallback: {failureThreshold: 3, replicas: 50}}")},
		{name: "fallback with a behavior that is not known", object: change(fineObject, "spec: {fallback: {failureThreshold: 3, replicas: 5, behavior: hold}}")},
		{name: "fallback scalingModifiers without a formula", object: change(fineObject, "spec: {fallback: {failureThreshold: 3, replicas: 5, behavior: scalingModifiers}}")},
		{name: "fallback with cpu alone", object: change(fineObject, `spec: {minReplicaCount: 1, fallback: {failureThreshold: 3, replicas: 5}, triggers: [{type: cpu, metricType: Utilization, metadata: {value: "60"}}]}`), beside: []string{requesting}},
		{name: "no triggers", object: change(fineObject, "spec: {triggers: []}")},
		{name: "triggers missing", object: change(fineObject, "spec: {triggers: null}")},
		{name: "a threshold that is a number", object: change(fineObject, trigger(`metadata: {serverAddress: "http://prometheus:9090", query: demand, threshold: 10}`))},
		{name: "ignoreNullValues that is a boolean", object: change(fineObject, trigger(`metadata: {serverAddress: "http://prometheus:9090", query: demand, threshold: "10", ignoreNullValues: false}`))},
		{name: "metadata missing", object: change(fineObject, trigger("name: demand"))},
		{name: "a metricType that is not known", object: change(fineObject, trigger("metricType: Total, "+metadata))},
		{name: "a trigger type that is not known", object: change(fineObject, `spec: {triggers: [{type: prometeus, metadata: {}}]}`)},
		{name: "two triggers of one name", object: change(fineObject, "spec: {triggers: [{type: prometheus, name: a, "+metadata+"}, {type: prometheus, name: a, "+metadata+"}]}")},
		{name: "two triggers without names", object: change(fineObject, "spec: {triggers: [{type: prometheus, "+metadata+"}, {type: prometheus, "+metadata+"}]}")},
		{name: "useCachedMetrics on cron", object: change(fineObject, `spec: {triggers: [{type: cron, useCachedMetrics: true, metadata: {start: "0 0 * * *", end: "1 0 * * *", timezone: UTC, desiredReplicas: "1"}}]}`)},
		{name: "authenticationRef without a name", object: change(fineObject, trigger("authenticationRef: {kind: TriggerAuthentication}, "+metadata))},
		{name: "authenticationRef of a kind that is not known", object: change(fineObject, trigger("authenticationRef: {name: a, kind: Secret}, "+metadata))},
		{name: "scaleTargetRef without a name", object: change(fineObject, "spec: {scaleTargetRef: {name: null, kind: Deployment}}")},
		{name: "an unknown field of spec", object: change(fineObject, "spec: {minReplicas: 1}")},
		{name: "an unknown field of a trigger", object: change(fineObject, trigger("threshold: 5, "+metadata))},
		{name: "behavior under advanced", object: change(fineObject, "spec: {advanced: {behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}}")},
		{name: "behavior in its place", object: change(fineObject, behavior("{scaleDown: {stabilizationWindowSeconds: 60}}"))},
		{name: "a stabilization window of 3601", object: change(fineObject, behavior("{scaleDown: {stabilizationWindowSeconds: 3601}}"))},
		{name: "a policy without a period", object: change(fineObject, behavior("{scaleDown: {policies: [{type: Pods, value: 1}]}}"))},
		{name: "a policy of a type that is not known", object: change(fineObject, behavior("{scaleDown: {policies: [{type: Pod, value: 1, periodSeconds: 60}]}}"))},
		{name: "a policy with a period of 0", object: change(fineObject, behavior("{scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 0}]}}"))},
		{name: "a policy of 0 pods", object: change(fineObject, behavior("{scaleDown: {policies: [{type: Pods, value: 0, periodSeconds: 60}]}}"))},
		{name: "a policy with a period of 1801", object: change(fineObject, behavior("{scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 1801}]}}"))},
		{name: "no policies", object: change(fineObject, behavior("{scaleDown: {policies: []}}"))},
		{name: "a selectPolicy that is not known", object: change(fineObject, behavior("{scaleDown: {selectPolicy: max}}"))},
		{name: "a negative tolerance", object: change(fineObject, behavior(`{scaleUp: {tolerance: "-0.1"}}`))},
		{name: "a tolerance of a number", object: change(fineObject, behavior("{scaleUp: {tolerance: 0}}"))},
		{name: "a tolerance of a string", object: change(fineObject, behavior(`{scaleUp: {tolerance: "0.05"}}`))},
		{name: "a tolerance in per cent", object: change(fineObject, behavior(`{scaleUp: {tolerance: "5%"}}`))},
		{name: "modifiers", object: change(fineObject, composed("demand * 2", "5", ""))},
		{name: "modifiers, an unknown trigger", object: change(fineObject, composed("demands * 2", "5", ""))},
		{name: "modifiers, no formula", object: change(fineObject, composed("", "5", ""))},
		{name: "modifiers, no target", object: change(fineObject, composed("demand", "", ""))},
		{name: "modifiers, target 0", object: change(fineObject, composed("demand", "0", ""))},
		{name: "modifiers, target 2.5 with a fallback that will not work", object: change(change(fineObject, composed("demand", "2.5", "")), "spec: {fallback: {failureThreshold: 3, replicas: 5}}")},
		{name: "modifiers, a name with a dash", object: change(change(fineObject, composed("the-demand", "5", "")), trigger("name: the-demand, "+metadata))},
		{name: "modifiers, a comparison", object: change(fineObject, composed("demand > 2", "5", ""))},
		{name: "modifiers, ?? without a fallback", object: change(fineObject, composed("demand ?? 8", "5", ""))},
		{name: "modifiers, a metricType that is not known", object: change(fineObject, composed("demand", "5", ", metricType: Utilization"))},
		{name: "cpu alone with min 0", object: change(fineObject, `spec: {triggers: [{type: cpu, metricType: Utilization, metadata: {value: "60"}}]}`), beside: []string{requesting}},
		{name: "cpu alone with min 1", object: change(fineObject, `spec: {minReplicaCount: 1, triggers: [{type: cpu, metricType: Utilization, metadata: {value: "60"}}]}`), beside: []string{requesting}},
		{name: "a Deployment's HPA beside it", object: fineObject, beside: []string{otherHPA}},
		{name: "an HPA that may stand beside it", object: fineObject, beside: []string{change(otherHPA, `metadata: {annotations: {validations.keda.sh/hpa-ownership: "false"}}`)}},
		{name: "an HPA to take over, not named", object: change(fineObject, `metadata: {annotations: {scaledobject.keda.sh/transfer-hpa-ownership: "true"}}`), beside: []string{otherHPA}},
		{name: "an HPA to take over", object: change(change(fineObject, `metadata: {annotations: {scaledobject.keda.sh/transfer-hpa-ownership: "true"}}`), "spec: {advanced: {horizontalPodAutoscalerConfig: {name: worker}}}"), beside: []string{otherHPA}},
		{name: "an HPA of another Deployment", object: fineObject, beside: []string{change(otherHPA, "spec: {scaleTargetRef: {name: other}}")}},
		{name: "another ScaledObject of the same target", object: fineObject, beside: []string{change(ownedElsewhere, "spec: {scaleTargetRef: {name: worker}}")}},
		{name: "another ScaledObject of another target", object: fineObject, beside: []string{ownedElsewhere}},
		{name: "another ScaledObject with the same HPA name, which it does not write", object: change(fineObject, "spec: {advanced: {horizontalPodAutoscalerConfig: {name: keda-hpa-other}}}"), beside: []string{ownedElsewhere}},

		{name: "a ScaledJob", object: fineJob},
		{name: "a ScaledJob with metricType", object: change(fineJob, trigger("metricType: AverageValue, "+metadata))},
		{name: "a ScaledJob with fallback", object: change(fineJob, "spec: {fallback: {failureThreshold: 3, replicas: 5}}")},
		{name: "a ScaledJob with cooldownPeriod", object: change(fineJob, "spec: {cooldownPeriod: 60}")},
		{name: "a ScaledJob with scaleTargetRef", object: change(fineJob, "spec: {scaleTargetRef: {name: worker}}")},
		{name: "a ScaledJob with min above max", object: change(fineJob, "spec: {minReplicaCount: 5, maxReplicaCount: 1}")},
		{name: "a ScaledJob with restartPolicy Always", object: change(fineJob, "spec: {jobTargetRef: {template: {spec: {restartPolicy: Always}}}}")},
		{name: "a ScaledJob with a port without protocol", object: change(fineJob, "spec: {jobTargetRef: {template: {spec: {containers: [{name: worker, image: worker, ports: [{containerPort: 80}]}]}}}}")},
		{name: "a ScaledJob with a port twice, without protocol", object: change(fineJob, "spec: {jobTargetRef: {template: {spec: {containers: [{name: worker, image: worker, ports: [{containerPort: 80}, {containerPort: 80}]}]}}}}")},
		{name: "a ScaledJob with labels and an unknown field in its template's metadata", object: change(fineJob, "spec: {jobTargetRef: {template: {metadata: {labels: {app: worker}, label: x}}}}")},
		{name: "a ScaledJob with an unknown field of its container", object: change(fineJob, "spec: {jobTargetRef: {template: {spec: {containers: [{name: worker, image: worker, imagePullpolicy: Always}]}}}}")},
		{name: "a ScaledJob with an unknown strategy", object: change(fineJob, "spec: {scalingStrategy: {strategy: fast}}")},

		{name: "a TriggerAuthentication", object: fineAuthentication},
		{name: "a TriggerAuthentication without a key", object: change(fineAuthentication, "spec: {secretTargetRef: [{parameter: bearerToken, name: prometheus}]}")},
		{name: "a TriggerAuthentication with filePath", object: change(fineAuthentication, "spec: {filePath: token}")},
		{name: "a TriggerAuthentication with an unknown provider", object: change(fineAuthentication, "spec: {podIdentity: {provider: azure}}")},
	}
	admission := newAdmission(t)
	var answered []admissionCase
	for _, test := range cases {
		object := parsed(t, test.object)
		var beside []client.Object
		var kept []map[string]any
		for _, text := range test.beside {
			fields := parsed(t, text)
			kept = append(kept, fields)
			beside = append(beside, typed(t, fields))
		}
		result, err := admission.admit(object, beside...)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		// The webhook checks in no order, and tells the first reason: a case must have one only.
		for attempt := 0; result.Refused != "" && attempt < 12; attempt++ {
			again, err := admission.admit(object, beside...)
			if err != nil || again.Refused != result.Refused {
				t.Fatalf("%s: %v, %q, then %q", test.name, err, result.Refused, again.Refused)
			}
		}
		result.Name, result.Object, result.Beside = test.name, object, kept
		if object["kind"] == "ScaledObject" && result.Invalid == nil && result.Refused == "" {
			result.RefusedHPA = refusedBehavior(t, object)
		}
		answered = append(answered, result)
	}
	keep(t, "admission", "What the API server with KEDA's CRDs, and then KEDA's webhook, say to an object that is created.", []string{kedaModule, "k8s.io/apiextensions-apiserver", kubernetesModule}, answered)
}

// refusedBehavior says why the API server refuses the HPA, by the behavior that KEDA copies into it.
func refusedBehavior(t *testing.T, object map[string]any) string {
	t.Helper()
	var typed kedav1alpha1.ScaledObject
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &typed); err != nil {
		t.Fatal(err)
	}
	var behavior *autoscalingv2.HorizontalPodAutoscalerBehavior
	if advanced := typed.Spec.Advanced; advanced != nil && advanced.HorizontalPodAutoscalerConfig != nil {
		behavior = advanced.HorizontalPodAutoscalerConfig.Behavior
	}
	metric := autoscalingv2.MetricSpec{
		Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "s0-prometheus"},
			Target: scalers.GetMetricTargetMili(autoscalingv2.AverageValueMetricType, 10),
		},
	}
	return refusedHPA(t, metric, behavior)
}

// parsed merges the documents of a text; a null takes a field away.
func parsed(t *testing.T, text string) map[string]any {
	t.Helper()
	result := map[string]any{}
	for document := range strings.SplitSeq(text, "---\n") {
		// Through JSON, for the number types of the API machinery.
		converted, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		var fields map[string]any
		if err := json.Unmarshal(converted, &fields); err != nil {
			t.Fatal(err)
		}
		merge(result, normalized(fields).(map[string]any))
	}
	return result
}

func merge(into, from map[string]any) {
	for name, value := range from {
		switch value := value.(type) {
		case nil:
			delete(into, name)
		case map[string]any:
			if inner, ok := into[name].(map[string]any); ok {
				merge(inner, value)
				continue
			}
			fresh := make(map[string]any)
			merge(fresh, value)
			into[name] = fresh
		default:
			into[name] = value
		}
	}
}

// normalized has integers where JSON's decoder has floats, as the API server's has.
func normalized(value any) any {
	switch value := value.(type) {
	case map[string]any:
		result := maps.Clone(value)
		for name, inner := range value {
			result[name] = normalized(inner)
		}
		return result
	case []any:
		result := slices.Clone(value)
		for index, inner := range value {
			result[index] = normalized(inner)
		}
		return result
	case float64:
		if value == float64(int64(value)) {
			return int64(value)
		}
	}
	return value
}
