package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/client-go/tools/events"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
)

type metadataCase struct {
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
	// What a TriggerAuthentication gives.
	AuthParams  map[string]string `json:"authParams,omitempty"`
	PodIdentity string            `json:"podIdentity,omitempty"`
	MetricType  string            `json:"metricType,omitempty"`
	// Whether the stub speaks TLS, with a certificate of its own CA.
	TLS     bool            `json:"tls,omitempty"`
	Outcome metadataOutcome `json:"outcome"`
	// The keys that KEDA names as unexpected, when it is told to look (KEDA_CHECK_UNEXPECTED_SCALERS_PARAMS).
	Unexpected []string `json:"unexpected,omitempty"`
}

type metadataOutcome struct {
	// Why KEDA builds no scaler.
	Error string `json:"error,omitempty"`
	// Of the scaler that it builds:
	Target              *target  `json:"target,omitempty"`
	ActivationThreshold *float64 `json:"activationThreshold,omitempty"`
	IgnoreNullValues    *bool    `json:"ignoreNullValues,omitempty"`
	Timeout             string   `json:"timeout,omitempty"`
	// Why the API server refuses the HPA that KEDA makes of it.
	RefusedHPA string `json:"refusedHPA,omitempty"`
	// What it sends: path and query, its parts sorted, and the headers that are not Go's.
	Request string            `json:"request,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Why it could not ask.
	RequestError string `json:"requestError,omitempty"`
}

// target is that of the HPA's metric.
type target struct {
	Type string `json:"type"`
	quantity
}

const (
	stubAddress = "STUB"
	certificate = "CERTIFICATE"
	privateKey  = "KEY"
	stubCA      = "CA OF THE STUB"
	otherCA     = "CA OF SOMEBODY ELSE"
	// Deletes a key that the base has.
	absent = "\x00"
)

type with = map[string]string

func TestMetadata(t *testing.T) {
	authenticated := func(modes string) with { return with{"authModes": modes} }
	cases := []metadataCase{
		{Name: "the least that is needed"},
		{Name: "no serverAddress", Metadata: with{"serverAddress": absent}},
		{Name: "no query", Metadata: with{"query": absent}},
		{Name: "no threshold", Metadata: with{"threshold": absent}},
		{Name: "serverAddress empty", Metadata: with{"serverAddress": ""}},
		{Name: "query blank", Metadata: with{"query": "  \n "}},
		{Name: "threshold empty", Metadata: with{"threshold": ""}},
		{Name: "serverAddress with a path", Metadata: with{"serverAddress": stubAddress + "/prometheus"}},
		{Name: "serverAddress with a slash at its end", Metadata: with{"serverAddress": stubAddress + "/"}},
		{Name: "serverAddress with the API's path", Metadata: with{"serverAddress": stubAddress + "/api/v1/query"}},
		{Name: "serverAddress with a query", Metadata: with{"serverAddress": stubAddress + "?tenant=a"}},
		{Name: "serverAddress with spaces around it", Metadata: with{"serverAddress": " " + stubAddress + " "}},
		{Name: "serverAddress without a scheme", Metadata: with{"serverAddress": "prometheus:9090"}},
		{Name: "query of several lines with spaces around it", Metadata: with{"query": "\n  sum(a{b=\"c\"})\n  + 1  \n"}},
		{Name: "query with signs of a URL", Metadata: with{"query": `a{b=~"x+y&z=%20#"}`}},
	}
	for _, threshold := range []string{
		"5", "100.50", "1e3", "1E-2", "-5", "-0", "0", "0.0004", "0.0005", "0.001", "1e16", " 7 ",
		".5", "5.", "05", "+5", "10%", "1_000", "1,5", "0x10", "NaN", "Inf", "1e400", "five", "null", "true", `"5"`,
	} {
		cases = append(cases, metadataCase{Name: "threshold " + threshold, Metadata: with{"threshold": threshold}})
	}
	for _, threshold := range []string{"", "0", "0.5", "-1", "5%", ".5"} {
		cases = append(cases, metadataCase{Name: fmt.Sprintf("activationThreshold %q", threshold), Metadata: with{"activationThreshold": threshold}})
	}
	for _, timeout := range []string{"", "3", "3000", "0", "5s", "1m", "500ms", "1.5s", "-5s", "-5", "5 s", "5sec", "P5S", "1.5"} {
		cases = append(cases, metadataCase{Name: fmt.Sprintf("timeout %q", timeout), Metadata: with{"timeout": timeout}})
	}
	for _, ignore := range []string{"", "true", "false", "True", "FALSE", "t", "f", "1", "0", "yes", "no", "on", "off"} {
		cases = append(cases, metadataCase{Name: fmt.Sprintf("ignoreNullValues %q", ignore), Metadata: with{"ignoreNullValues": ignore}})
	}
	for _, headers := range []string{
		"X-Scope-OrgID=shop", " X-Scope-OrgID = shop , X-Other = b ", "X-Token=YWJj=", "X-Token=YWJjZA==", "Cookie=a=b", "Accept=a,b", "X-Scope-OrgID", "X-Scope-OrgID=", "=shop", "a=b,", "Authorization=Bearer secret", "X-Scope-OrgID: shop",
	} {
		cases = append(cases, metadataCase{Name: "customHeaders " + headers, Metadata: with{"customHeaders": headers}})
	}
	for _, parameters := range []string{"dedup=true", "dedup=true,partial_response=false", "a=b&c=d", "a==b", "a", "a b=c d"} {
		cases = append(cases, metadataCase{Name: "queryParameters " + parameters, Metadata: with{"queryParameters": parameters}})
	}
	for _, namespace := range []string{"shop", "", "a&b=c", "a b"} {
		cases = append(cases, metadataCase{Name: fmt.Sprintf("namespace %q", namespace), Metadata: with{"namespace": namespace}})
	}
	for _, metricType := range []string{"AverageValue", "Value", "Utilization", "averageValue", "Total"} {
		cases = append(cases, metadataCase{Name: "metricType " + metricType, MetricType: metricType})
	}
	for _, key := range []string{"metricName", "cortexOrgID", "disableScaleToZero", "activationthreshold", "Threshold", "serverAddressFromEnv", "queryFromEnv", "unknown"} {
		cases = append(cases, metadataCase{Name: "an unknown key, " + key, Metadata: with{key: "x"}})
	}
	cases = append(cases,
		metadataCase{Name: "a known key that is empty", Metadata: with{"namespace": ""}},

		metadataCase{Name: "bearer", Metadata: authenticated("bearer"), AuthParams: with{"bearerToken": "secret"}},
		metadataCase{Name: "bearer by its other name", Metadata: authenticated("bearer"), AuthParams: with{"token": "secret"}},
		metadataCase{Name: "authMode, its other name", Metadata: with{"authMode": "bearer"}, AuthParams: with{"bearerToken": "secret"}},
		metadataCase{Name: "authModes from the TriggerAuthentication", AuthParams: with{"authModes": "bearer", "bearerToken": "secret"}},
		metadataCase{Name: "a token without authModes", AuthParams: with{"bearerToken": "secret"}},
		metadataCase{Name: "bearer without a token", Metadata: authenticated("bearer")},
		metadataCase{Name: "bearer with the token in the metadata", Metadata: with{"authModes": "bearer", "bearerToken": "secret"}},
		metadataCase{Name: "basic", Metadata: authenticated("basic"), AuthParams: with{"username": "keda", "password": "secret"}},
		metadataCase{Name: "basic without a password", Metadata: authenticated("basic"), AuthParams: with{"username": "keda"}},
		metadataCase{Name: "basic without a username", Metadata: authenticated("basic"), AuthParams: with{"password": "secret"}},
		metadataCase{Name: "custom", Metadata: authenticated("custom"), AuthParams: with{"customAuthHeader": "X-Api-Key", "customAuthValue": "secret"}},
		metadataCase{Name: "custom without a value", Metadata: authenticated("custom"), AuthParams: with{"customAuthHeader": "X-Api-Key"}},
		metadataCase{Name: "apiKey: sent without it", Metadata: authenticated("apiKey"), AuthParams: with{"apiKey": "secret"}},
		metadataCase{Name: "apiKey without a key", Metadata: authenticated("apiKey")},
		metadataCase{Name: "oauth: sent without it", Metadata: authenticated("oauth"), AuthParams: with{"oauthTokenURI": "http://token", "clientID": "keda", "clientSecret": "secret"}},
		metadataCase{Name: "oauth without a client", Metadata: authenticated("oauth"), AuthParams: with{"oauthTokenURI": "http://token"}},
		metadataCase{Name: "bearer and custom", Metadata: authenticated("bearer,custom"), AuthParams: with{"bearerToken": "secret", "customAuthHeader": "X-Api-Key", "customAuthValue": "secret"}},
		metadataCase{Name: "bearer and basic", Metadata: authenticated("bearer,basic"), AuthParams: with{"bearerToken": "secret", "username": "keda"}},
		metadataCase{Name: "basic and oauth", Metadata: authenticated("basic, oauth"), AuthParams: with{"username": "keda", "oauthTokenURI": "http://token", "clientID": "keda"}},
		metadataCase{Name: "a mode that is not known", Metadata: authenticated("Bearer"), AuthParams: with{"bearerToken": "secret"}},
		metadataCase{Name: "bearer with pod identity", Metadata: authenticated("bearer"), AuthParams: with{"bearerToken": "secret"}, PodIdentity: "aws"},
		metadataCase{Name: "bearer with pod identity none", Metadata: authenticated("bearer"), AuthParams: with{"bearerToken": "secret"}, PodIdentity: "none"},
		metadataCase{Name: "customHeaders beside bearer", Metadata: with{"authModes": "bearer", "customHeaders": "Authorization=Basic x"}, AuthParams: with{"bearerToken": "secret"}},

		metadataCase{Name: "TLS, nothing said", TLS: true},
		metadataCase{Name: "TLS, unsafeSsl", TLS: true, Metadata: with{"unsafeSsl": "true"}},
		metadataCase{Name: "TLS, ca without authModes", TLS: true, AuthParams: with{"ca": stubCA}},
		metadataCase{Name: "TLS, ca with bearer", TLS: true, Metadata: authenticated("bearer"), AuthParams: with{"bearerToken": "secret", "ca": stubCA}},
		metadataCase{Name: "TLS, another ca with bearer", TLS: true, Metadata: authenticated("bearer"), AuthParams: with{"bearerToken": "secret", "ca": otherCA}},
		metadataCase{Name: "TLS, another ca with bearer and unsafeSsl", TLS: true, Metadata: with{"authModes": "bearer", "unsafeSsl": "true"}, AuthParams: with{"bearerToken": "secret", "ca": otherCA}},
		metadataCase{Name: "TLS, bearer and unsafeSsl", TLS: true, Metadata: with{"authModes": "bearer", "unsafeSsl": "true"}, AuthParams: with{"bearerToken": "secret"}},
		metadataCase{Name: "tls without a certificate", Metadata: authenticated("tls"), AuthParams: with{"ca": stubCA}},
		metadataCase{Name: "tls without a key", Metadata: authenticated("tls"), AuthParams: with{"cert": certificate}},
		metadataCase{Name: "tls", TLS: true, Metadata: authenticated("tls"), AuthParams: with{"cert": certificate, "key": privateKey, "ca": stubCA}},
		metadataCase{Name: "tls without a ca", TLS: true, Metadata: authenticated("tls"), AuthParams: with{"cert": certificate, "key": privateKey}},
		metadataCase{Name: "tls without a ca, unsafeSsl", TLS: true, Metadata: with{"authModes": "tls", "unsafeSsl": "true"}, AuthParams: with{"cert": certificate, "key": privateKey}},
		metadataCase{Name: "tls and bearer", TLS: true, Metadata: authenticated("tls,bearer"), AuthParams: with{"cert": certificate, "key": privateKey, "ca": stubCA, "bearerToken": "secret"}},
	)
	secrets := newSecrets(t)
	for index := range cases {
		test := &cases[index]
		metadata := with{"serverAddress": stubAddress, "query": "demand", "threshold": "10"}
		maps.Copy(metadata, test.Metadata)
		maps.DeleteFunc(metadata, func(_, value string) bool { return value == absent })
		test.Metadata = metadata
		test.Outcome, test.Unexpected = secrets.build(t, *test)
	}
	keep(t, "metadata", "What KEDA's prometheus scaler makes of a trigger's metadata, and what it then sends.", []string{kedaModule, kubernetesModule}, cases)
}

// secrets are what the placeholders in the vectors stand for: new in every run, and committed nowhere.
type secrets struct{ certificate, key, other string }

func newSecrets(t *testing.T) secrets {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	encoded, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: encoded}))
	return secrets{block, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), block}
}

var timeParameter = regexp.MustCompile(`^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)

// build makes the scaler of a case and lets it ask once.
func (s secrets) build(t *testing.T, test metadataCase) (metadataOutcome, []string) {
	t.Helper()
	var asked *http.Request
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		asked = request
		_, _ = writer.Write([]byte(value("3").Body))
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = nil
	start := server.Start
	if test.TLS {
		start = server.StartTLS
	}
	start()
	defer server.Close()
	server.Config.SetKeepAlivesEnabled(false)
	ca := ""
	if test.TLS {
		ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}

	config := configOf(make(map[string]string))
	for name, value := range test.Metadata {
		config.TriggerMetadata[name] = strings.ReplaceAll(value, stubAddress, server.URL)
	}
	placeholders := map[string]string{certificate: s.certificate, privateKey: s.key, stubCA: ca, otherCA: s.other}
	for name, value := range test.AuthParams {
		if secret, found := placeholders[value]; found {
			value = secret
		}
		config.AuthParams[name] = value
	}
	config.PodIdentity.Provider = kedav1alpha1.PodIdentityProvider(test.PodIdentity)
	config.MetricType = autoscalingv2.MetricTargetType(test.MetricType)
	recorder := events.NewFakeRecorder(16)
	config.Recorder = recorder

	scaler, err := scalers.NewPrometheusScaler(config)
	unexpected := unexpectedKeys(recorder)
	if err != nil {
		return metadataOutcome{Error: stable(err.Error())}, unexpected
	}
	defer scaler.Close(t.Context())
	parsed := reflect.ValueOf(scaler).Elem()
	metadata := parsed.FieldByName("metadata").Elem()
	httpClient := (*http.Client)(parsed.FieldByName("httpClient").UnsafePointer())
	activation, ignore := metadata.FieldByName("ActivationThreshold").Float(), metadata.FieldByName("IgnoreNullValues").Bool()
	metric := scaler.GetMetricSpecForScaling(t.Context())[0]
	result := metadataOutcome{
		Target:              targetOf(metric.External.Target),
		RefusedHPA:          refusedHPA(t, metric, nil),
		ActivationThreshold: &activation,
		IgnoreNullValues:    &ignore,
		Timeout:             httpClient.Timeout.String(),
	}
	// What is sent is asked here, not whether a busy machine answers within 3 ms.
	httpClient.Timeout = time.Minute
	if _, _, err := scaler.GetMetricsAndActivity(t.Context(), "s0-prometheus"); err != nil && asked == nil {
		result.RequestError = stable(err.Error())
		return result, unexpected
	}
	parts := strings.Split(asked.URL.RawQuery, "&")
	for index, part := range parts {
		parts[index] = timeParameter.ReplaceAllString(part, "time=NOW")
	}
	slices.Sort(parts)
	result.Request = asked.URL.Path + "?" + strings.Join(parts, "&")
	result.Headers = make(map[string]string)
	for name := range asked.Header {
		if name != "Accept-Encoding" && name != "User-Agent" {
			result.Headers[name] = asked.Header.Get(name)
		}
	}
	return result, unexpected
}

func targetOf(metric autoscalingv2.MetricTarget) *target {
	value := metric.Value
	if value == nil {
		value = metric.AverageValue
	}
	return &target{Type: string(metric.Type), quantity: quantityOf(*value)}
}

var unmatched = regexp.MustCompile(`Unmatched input property (\S+) in scaler`)

// unexpectedKeys are those of KEDA's events.
func unexpectedKeys(recorder *events.FakeRecorder) []string {
	var keys []string
	for len(recorder.Events) > 0 {
		if found := unmatched.FindStringSubmatch(<-recorder.Events); found != nil {
			keys = append(keys, found[1])
		}
	}
	slices.Sort(keys)
	return keys
}
