package conformance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/events"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	"github.com/kedacore/keda/v2/pkg/scaling/cache"
)

// response is what the stub of Prometheus answers to every query.
type response struct {
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// Instead of an answer: "refused", "hung" (longer than the timeout), or "cut" (in the middle of the body).
	Fault string `json:"fault,omitempty"`
}

type resultCase struct {
	Name                string   `json:"name"`
	IgnoreNullValues    string   `json:"ignoreNullValues"`
	ActivationThreshold string   `json:"activationThreshold"`
	Response            response `json:"response"`
	Outcome             outcome  `json:"outcome"`
	// How many HTTP requests KEDA sent in this one poll.
	Requests int64 `json:"requests"`
}

// outcome is either a value with its activity or an error.
type outcome struct {
	Value  *quantity `json:"value,omitempty"`
	Active bool      `json:"active"`
	// One of a closed set: README.md.
	Error string `json:"error,omitempty"`
	Text  string `json:"text,omitempty"`
}

// classes are the kinds of errors by what their texts hold; the first that fits.
var classes = []struct{ class, holds string }{
	{"empty", "the result is empty"},
	{"empty", "the value list is empty"},
	{"multiple", "returned multiple elements"},
	{"short", "didn't return enough values"},
	{"status", "prometheus query api returned error. status"},
	{"notFinite", "prometheus query returns"},
	{"number", "strconv.ParseFloat"},
	{"json", "json: cannot unmarshal"},
	{"json", "invalid character"},
	{"json", "unexpected end of JSON input"},
	{"timeout", "Client.Timeout"},
	{"timeout", "context deadline exceeded"},
	{"connection", "connection refused"},
	{"connection", "EOF"},
}

func classOf(t *testing.T, text string) string {
	t.Helper()
	for _, class := range classes {
		if strings.Contains(text, class.holds) {
			return class.class
		}
	}
	t.Fatalf("no class for the error %q", text)
	return ""
}

func success(resultType, result string) response {
	return response{Status: http.StatusOK, Body: fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":%s}}`, resultType, result)}
}

func value(text string) response {
	return success("vector", fmt.Sprintf(`[{"metric":{},"value":[1700000000,%q]}]`, text))
}

// responses are what a Prometheus, or something that calls itself one, can answer.
var responses = []struct {
	name     string
	response response
}{
	{"one element, 12.5", value("12.5")},
	{"one element with labels", success("vector", `[{"metric":{"queue":"email"},"value":[1700000000,"3"]}]`)},
	{"one element, 0", value("0")},
	{"one element, negative", value("-3")},
	{"one element, negative zero", value("-0")},
	{"one element, 0.0004: less than a thousandth", value("0.0004")},
	{"one element, 0.0005: half a thousandth", value("0.0005")},
	{"one element, 0.0015: one and a half thousandths", value("0.0015")},
	{"one element, 2.9996", value("2.9996")},
	{"one element, 1e3", value("1e3")},
	{"one element, 1e16", value("1e16")},
	{"one element, 1e300", value("1e300")},
	{"one element, hexadecimal", value("0x10")},
	{"one element, with underscores", value("1_000")},
	{"one element, not a number", value("many")},
	{"one element, an empty string", value("")},
	{"one element, NaN", value("NaN")},
	{"one element, +Inf", value("+Inf")},
	{"one element, -Inf", value("-Inf")},
	{"one element, out of range", value("1e400")},
	{"one element, value null", success("vector", `[{"metric":{},"value":[1700000000,null]}]`)},
	{"one element, value a JSON number", success("vector", `[{"metric":{},"value":[1700000000,3]}]`)},
	{"one element, value of one item", success("vector", `[{"metric":{},"value":[1700000000]}]`)},
	{"one element, value of three items", success("vector", `[{"metric":{},"value":[1700000000,"3","4"]}]`)},
	{"one element, value an empty list", success("vector", `[{"metric":{},"value":[]}]`)},
	{"one element, no value", success("vector", `[{"metric":{}}]`)},
	{"one element, a native histogram", success("vector", `[{"metric":{},"histogram":[1700000000,{"count":"3","sum":"4"}]}]`)},
	{"two elements", success("vector", `[{"metric":{"queue":"a"},"value":[1700000000,"1"]},{"metric":{"queue":"b"},"value":[1700000000,"2"]}]`)},
	{"no element", success("vector", `[]`)},
	{"no element, result null", success("vector", `null`)},
	{"a matrix of one series", success("matrix", `[{"metric":{},"values":[[1700000000,"1"],[1700000015,"2"]]}]`)},
	{"a matrix of two series", success("matrix", `[{"metric":{"queue":"a"},"values":[[1700000000,"1"]]},{"metric":{"queue":"b"},"values":[[1700000000,"2"]]}]`)},
	{"an empty matrix", success("matrix", `[]`)},
	{"a scalar", success("scalar", `[1700000000,"3"]`)},
	{"a string", success("string", `[1700000000,"three"]`)},
	{"{}", response{Status: http.StatusOK, Body: `{}`}},
	{"null", response{Status: http.StatusOK, Body: `null`}},
	{"no data", response{Status: http.StatusOK, Body: `{"status":"success"}`}},
	{"a JSON list", response{Status: http.StatusOK, Body: `[]`}},
	{"an empty body", response{Status: http.StatusOK}},
	{"a page", response{Status: http.StatusOK, Body: `<html><body>Sign in</body></html>`}},
	{"status error with HTTP 200", response{Status: http.StatusOK, Body: `{"status":"error","errorType":"bad_data","error":"parse error"}`}},
	{"warnings beside the result", response{Status: http.StatusOK, Body: `{"status":"success","warnings":["partial response"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000,"2"]}]}}`}},
	{"HTTP 201", response{Status: http.StatusCreated, Body: value("4").Body}},
	{"HTTP 204", response{Status: http.StatusNoContent}},
	{"HTTP 302 to nowhere", response{Status: http.StatusFound}},
	{"HTTP 400", response{Status: http.StatusBadRequest, Body: `{"status":"error","errorType":"bad_data","error":"parse error"}`}},
	{"HTTP 401", response{Status: http.StatusUnauthorized}},
	{"HTTP 404", response{Status: http.StatusNotFound}},
	{"HTTP 422", response{Status: http.StatusUnprocessableEntity}},
	{"HTTP 429", response{Status: http.StatusTooManyRequests}},
	{"HTTP 500", response{Status: http.StatusInternalServerError}},
	{"HTTP 503", response{Status: http.StatusServiceUnavailable}},
	{"hung", response{Fault: "hung"}},
	{"refused", response{Fault: "refused"}},
	{"cut", response{Fault: "cut"}},
}

// activations are values at and around activation thresholds, which are compared unrounded.
var activations = []struct{ threshold, value string }{
	{"", "0"},
	{"", "0.001"},
	{"0", "0"},
	{"0", "0.0001"},
	{"5", "5"},
	{"5", "5.0001"},
	{"5", "4.9999"},
	{"0.5", "0.5"},
	{"0.5", "0.50001"},
	{"-1", "0"},
	{"-1", "-1"},
	{"-1", "-0.5"},
}

// shortTimeout ends the hung cases. It is long for a server that answers, on any machine.
const shortTimeout = "1s"

func TestResults(t *testing.T) {
	var cases []resultCase
	for _, answer := range responses {
		for _, ignore := range []string{"false", "true"} {
			cases = append(cases, resultCase{Name: answer.name, IgnoreNullValues: ignore, ActivationThreshold: "0", Response: answer.response})
		}
	}
	for _, activation := range activations {
		name := fmt.Sprintf("activationThreshold %q, value %s", activation.threshold, activation.value)
		cases = append(cases, resultCase{Name: name, IgnoreNullValues: "false", ActivationThreshold: activation.threshold, Response: value(activation.value)})
	}
	for index := range cases {
		cases[index].Outcome, cases[index].Requests = poll(t, cases[index])
	}
	keep(t, "results", "What KEDA's prometheus scaler makes of an answer to its query.", []string{kedaModule}, cases)
}

// poll asks once as KEDA's loop does, through the cache that builds a scaler anew when it fails.
func poll(t *testing.T, test resultCase) (result outcome, requests int64) {
	t.Helper()
	address, count := stub(t, test.Response)
	metadata := map[string]string{
		"serverAddress":       address,
		"query":               "demand",
		"threshold":           "10",
		"activationThreshold": test.ActivationThreshold,
		"ignoreNullValues":    test.IgnoreNullValues,
		"timeout":             shortTimeout,
	}
	factory := func() (scalers.Scaler, *scalersconfig.ScalerConfig, error) {
		config := configOf(metadata)
		scaler, err := scalers.NewPrometheusScaler(config)
		return scaler, config, err
	}
	scaler, config, err := factory()
	if err != nil {
		t.Fatal(err)
	}
	scalersCache := cache.ScalersCache{
		ScaledObject: &kedav1alpha1.ScaledObject{},
		Scalers:      []cache.ScalerBuilder{{Scaler: scaler, ScalerConfig: *config, Factory: factory}},
		Recorder:     events.NewFakeRecorder(8),
	}
	defer scalersCache.Close(t.Context())
	defer func() {
		if problem := recover(); problem != nil {
			// In KEDA nobody recovers: the operator ends.
			result, requests = outcome{Error: "panic", Text: fmt.Sprint(problem)}, count.Load()
		}
	}()
	values, active, _, err := scalersCache.GetMetricsAndActivityForScaler(context.Background(), 0, "s0-prometheus")
	if err != nil {
		text := stable(err.Error())
		class := classOf(t, text)
		if class == "timeout" || class == "connection" {
			// The HTTP client's words depend on where it was when it happened.
			text = ""
		}
		return outcome{Active: active, Error: class, Text: text}, count.Load()
	}
	carried := quantityOf(values[0].Value)
	return outcome{Value: &carried, Active: active}, count.Load()
}

func configOf(metadata map[string]string) *scalersconfig.ScalerConfig {
	return &scalersconfig.ScalerConfig{
		ScalableObjectName:      "worker",
		ScalableObjectNamespace: "shop",
		ScalableObjectType:      "ScaledObject",
		TriggerName:             "demand",
		TriggerType:             "prometheus",
		TriggerMetadata:         metadata,
		AuthParams:              map[string]string{},
		ResolvedEnv:             map[string]string{},
		// What the operator sets when KEDA_HTTP_DEFAULT_TIMEOUT is not:
		// https://github.com/kedacore/keda/blob/v2.20.2/cmd/operator/main.go.
		GlobalHTTPTimeout: 3 * time.Second,
		ScaledObject:      &kedav1alpha1.ScaledObject{},
		Recorder:          events.NewFakeRecorder(8),
	}
}

// stub serves one answer after it did what it is told to do, and counts how often it was asked.
func stub(t *testing.T, answer response, before ...func()) (string, *atomic.Int64) {
	t.Helper()
	var count atomic.Int64
	if answer.Fault == "refused" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		return "http://" + address, &count
	}
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		count.Add(1)
		for _, do := range before {
			do()
		}
		switch answer.Fault {
		case "hung":
			<-hang
		case "cut":
			writer.Header().Set("Content-Length", "1000")
			_, _ = writer.Write([]byte(`{"status":"success",`))
		default:
			writer.WriteHeader(answer.Status)
			_, _ = writer.Write([]byte(answer.Body))
		}
	}))
	t.Cleanup(func() {
		close(hang)
		server.Close()
	})
	return server.URL, &count
}
