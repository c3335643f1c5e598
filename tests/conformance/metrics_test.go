package conformance

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kedacore/keda/v2/pkg/metricscollector"
)

// counting makes KEDA count, which it can be told once.
var counting = sync.OnceFunc(func() { metricscollector.NewMetricsCollectors(true, false) })

// TestMetrics holds the series of KEDA's operator in keda.prom, by which dashboards and alerts are tested, to those that KEDA has.
func TestMetrics(t *testing.T) {
	counting()
	metricscollector.RecordScalerMetric("shop", "email", "demand", 0, "s0-prometheus", true, 1)
	metricscollector.RecordScalerLatency("shop", "email", "demand", 0, "s0-prometheus", true, time.Second)
	metricscollector.RecordScalerActive("shop", "email", "demand", 0, "s0-prometheus", true, true)
	metricscollector.RecordScalerError("shop", "email", "demand", 0, "s0-prometheus", true, errors.New("one"))
	metricscollector.RecordScaledObjectPaused("shop", "email", false)
	metricscollector.RecordScaledJobError("shop", "render", nil)
	metricscollector.RecordScalableObjectLatency("shop", "email", true, time.Second)
	metricscollector.RecordEmptyUpstreamResponse("shop", "email", "demand", "s0-prometheus", "ScaledObject", false)
	metricscollector.RecordHTTPClientRequest(1, 200, false, "prometheus", "demand", "s0-prometheus", "shop", "email")
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]string)
	for _, family := range families {
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		slices.Sort(labels)
		known[family.GetName()] = strings.ToLower(family.GetType().String()) + " " + strings.Join(labels, ",")
	}
	fixture, err := os.ReadFile("../keda.prom")
	if err != nil {
		t.Fatal(err)
	}
	kind, name, compared := "", "", 0
	label := regexp.MustCompile(`(\w+)="`)
	for line := range bytes.Lines(fixture) {
		if words := strings.Fields(string(line)); words[0] == "#" {
			name, kind = words[2], words[3]
			continue
		}
		if !strings.HasPrefix(name, "keda_") {
			continue
		}
		var labels []string
		for _, found := range label.FindAllSubmatch(line, -1) {
			if key := string(found[1]); key != "le" {
				labels = append(labels, key)
			}
		}
		slices.Sort(labels)
		if written := kind + " " + strings.Join(labels, ","); written != known[name] {
			t.Errorf("%s is %q in keda.prom, and %q to KEDA", name, written, known[name])
		}
		compared++
	}
	if compared < 10 {
		t.Errorf("keda.prom has %d series of KEDA", compared)
	}
}
