package conformance

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/yaml"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
)

// goldens are where the generator's own output is committed, and what Helm and kustomize make of it.
var goldens = []string{
	"../../examples/*/expected/*.yaml",
	"../../examples/alerts/manifests.yaml",
	"../../examples/gitops/shop/scaledobjects.yaml",
	"../../examples/helm-chart/rendered/*.yaml",
	"../../examples/helm-values/rendered/*.yaml",
	"../../examples/kustomize/rendered/*.yaml",
}

// TestGenerated asks KEDA about every object of its own that the generator is known to write.
func TestGenerated(t *testing.T) {
	admission := newAdmission(t)
	for _, pattern := range goldens {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		triggers := 0
		for _, file := range files {
			triggers += checkFile(t, admission, file)
		}
		if triggers == 0 {
			t.Errorf("no trigger in %s", pattern)
		}
	}
}

// checkFile asks about each of KEDA's objects in a file, and says how many triggers they have.
func checkFile(t *testing.T, admission admission, file string) int {
	t.Helper()
	objects := documents(t, file)
	triggers := 0
	for _, object := range objects {
		name := file + " " + object["kind"].(string) + " " + object["metadata"].(map[string]any)["name"].(string)
		t.Run(name, func(t *testing.T) {
			answer, err := admission.admit(object)
			if err != nil {
				t.Fatal(err)
			}
			for what, found := range map[string][]string{"drops": answer.Pruned, "refuses": answer.Invalid, "warns of": answer.Warnings} {
				if len(found) > 0 {
					t.Errorf("the cluster %s: %s", what, strings.Join(found, "; "))
				}
			}
			if answer.Refused != "" {
				t.Errorf("KEDA's webhook refuses it: %s", answer.Refused)
			}
			if object["kind"] == "ScaledObject" {
				if why := refusedBehavior(t, object); why != "" {
					t.Errorf("the API server refuses its HPA: %s", why)
				}
			}
			triggers += checkTriggers(t, object, objects)
		})
	}
	return triggers
}

// documents are KEDA's objects in a file.
func documents(t *testing.T, file string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		converted, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var object map[string]any
		if err := json.Unmarshal(converted, &object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if version, _ := object["apiVersion"].(string); strings.HasPrefix(version, "keda.sh/") {
			objects = append(objects, normalized(object).(map[string]any))
		}
	}
	return objects
}

// checkTriggers builds each trigger of an object with KEDA's own code and lets it ask.
func checkTriggers(t *testing.T, object map[string]any, beside []map[string]any) int {
	t.Helper()
	var spec struct {
		Triggers []kedav1alpha1.ScaleTriggers `json:"triggers"`
	}
	var typed any
	switch object["kind"] {
	case "ScaledObject":
		typed = &kedav1alpha1.ScaledObject{}
	case "ScaledJob":
		typed = &kedav1alpha1.ScaledJob{}
	case "TriggerAuthentication":
		typed = &kedav1alpha1.TriggerAuthentication{}
	default:
		typed = &kedav1alpha1.ClusterTriggerAuthentication{}
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object, typed, true); err != nil {
		t.Errorf("KEDA's types do not know all of it: %v", err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object["spec"].(map[string]any), &spec); err != nil {
		t.Fatal(err)
	}
	for index, trigger := range spec.Triggers {
		if trigger.Type == "prometheus" {
			checkTrigger(t, index, trigger, authenticated(t, trigger.AuthenticationRef, beside))
		}
	}
	return len(spec.Triggers)
}

// authenticated is a value for every parameter of the TriggerAuthentication that a trigger names.
func authenticated(t *testing.T, reference *kedav1alpha1.AuthenticationRef, beside []map[string]any) map[string]string {
	t.Helper()
	parameters := make(map[string]string)
	if reference == nil {
		return parameters
	}
	for _, object := range beside {
		if object["metadata"].(map[string]any)["name"] != reference.Name || !strings.HasSuffix(object["kind"].(string), "TriggerAuthentication") {
			continue
		}
		var spec kedav1alpha1.TriggerAuthenticationSpec
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object["spec"].(map[string]any), &spec); err != nil {
			t.Fatal(err)
		}
		secrets := newSecrets(t)
		known := map[string]string{"ca": secrets.other, "cert": secrets.certificate, "key": secrets.key}
		for _, secret := range spec.SecretTargetRef {
			parameters[secret.Parameter] = known[secret.Parameter]
			if parameters[secret.Parameter] == "" {
				parameters[secret.Parameter] = "secret"
			}
		}
	}
	return parameters
}

// checkTrigger holds a trigger to what our documents say of all of them: no answer is an error, 0 is inactive, anything above is
// active, and nothing in its metadata is unknown to KEDA.
func checkTrigger(t *testing.T, index int, trigger kedav1alpha1.ScaleTriggers, parameters map[string]string) {
	t.Helper()
	build := func(answer response) (scalers.Scaler, *events.FakeRecorder) {
		address, _ := stub(t, answer)
		metadata := maps.Clone(trigger.Metadata)
		metadata["serverAddress"] = address
		config := configOf(metadata)
		config.AuthParams, config.TriggerIndex, config.TriggerName, config.MetricType = parameters, index, trigger.Name, trigger.MetricType
		recorder := events.NewFakeRecorder(16)
		config.Recorder = recorder
		scaler, err := scalers.NewPrometheusScaler(config)
		if err != nil {
			t.Fatalf("KEDA builds no scaler of trigger %s: %v", trigger.Name, err)
		}
		return scaler, recorder
	}
	scaler, recorder := build(value("0"))
	if unexpected := unexpectedKeys(recorder); len(unexpected) > 0 {
		t.Errorf("trigger %s: KEDA does not know %s", trigger.Name, strings.Join(unexpected, ", "))
	}
	external := scaler.GetMetricSpecForScaling(t.Context())[0].External
	if want := "s" + strconv.Itoa(index) + "-prometheus"; external.Metric.Name != want {
		t.Errorf("trigger %s: the HPA's metric is %s, not %s", trigger.Name, external.Metric.Name, want)
	}
	threshold := resource.MustParse(trigger.Metadata["threshold"])
	if external.Target.Type != autoscalingv2.AverageValueMetricType || external.Target.AverageValue.Cmp(threshold) != 0 {
		t.Errorf("trigger %s: the HPA's target is %v, not an AverageValue of %s", trigger.Name, external.Target, threshold.String())
	}
	for _, claim := range []struct {
		what   string
		answer response
		active bool
		fails  bool
	}{
		{"0", value("0"), false, false},
		{"more than 0", value("0.001"), true, false},
		{"many", value("1000"), true, false},
		{"no element", success("vector", "[]"), false, true},
		{"NaN", value("NaN"), false, true},
		{"two elements", success("vector", `[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}]`), false, true},
		{"HTTP 503", response{Status: 503}, false, true},
		{"nobody", response{Fault: "refused"}, false, true},
	} {
		scaler, _ := build(claim.answer)
		_, active, err := scaler.GetMetricsAndActivity(t.Context(), external.Metric.Name)
		if active != claim.active || (err != nil) != claim.fails {
			t.Errorf("trigger %s, answered by %s: active %t, error %v", trigger.Name, claim.what, active, err)
		}
	}
}
