// Package conformance runs KEDA's and Kubernetes' own code over the cases that decide what our manifests do, and keeps what it
// answers as JSON vectors, so that what we claim of them can be tested without Go.
//
// README.md in this directory describes the vectors. `go test .` compares them with what the code answers now; `go test . -update`
// writes them.
package conformance

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

var update = flag.Bool("update", false, "write the vectors instead of comparing them")

// checkUnexpected makes KEDA tell the metadata keys that it does not know. It is read before any test could set it.
const checkUnexpected = "KEDA_CHECK_UNEXPECTED_SCALERS_PARAMS"

func TestMain(m *testing.M) {
	if os.Getenv(checkUnexpected) != "enabled" {
		self, err := os.Executable()
		if err == nil {
			err = syscall.Exec(self, os.Args, append(os.Environ(), checkUnexpected+"=enabled"))
		}
		panic(err)
	}
	flag.Parse()
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	// They wait until some time has passed since the last error, which in a bubble with a clock of its own may be years.
	runtime.ErrorHandlers = nil
	os.Exit(m.Run())
}

// keep writes or compares a file of vectors. sources are the modules whose code answered.
func keep[Case any](t *testing.T, name, about string, sources []string, cases []Case) {
	t.Helper()
	versions := make(map[string]string)
	for _, path := range sources {
		versions[path] = versionOf(t, path)
	}
	var fresh bytes.Buffer
	fmt.Fprintf(&fresh, "{\n\"about\": %s,\n\"sources\": %s,\n\"cases\": [\n", line(t, about), line(t, versions))
	for index, test := range cases {
		comma := ","
		if index == len(cases)-1 {
			comma = ""
		}
		fmt.Fprintf(&fresh, "%s%s\n", line(t, test), comma)
	}
	fresh.WriteString("]\n}\n")
	committed := filepath.Join("vectors", name+".json")
	if *update {
		if err := os.WriteFile(committed, fresh.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), name+".json")
	if err := os.WriteFile(path, fresh.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if difference, err := exec.Command("diff", "-u", committed, path).CombinedOutput(); err != nil {
		t.Errorf("%s is not what the code answers (make conformance-update writes it):\n%s", committed, difference)
	}
}

// line is a value as JSON on one line: a case a line, so that a difference shows the case.
func line(t *testing.T, value any) string {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text.String())
}

const (
	kedaModule       = "github.com/kedacore/keda/v2"
	kubernetesModule = "k8s.io/kubernetes"
)

// versionOf is the version of a module that go.mod leads to, replacements included.
func versionOf(t *testing.T, path string) string {
	t.Helper()
	version, err := exec.Command("go", "list", "-m", "-f", "{{if .Replace}}{{.Replace.Version}}{{else}}{{.Version}}{{end}}", path).Output()
	if err != nil {
		t.Fatalf("go list -m %s: %v", path, err)
	}
	return strings.TrimSpace(string(version))
}

// quantity is a number as Kubernetes carries it, and in thousandths where these fit.
type quantity struct {
	Quantity string `json:"quantity"`
	Milli    *int64 `json:"milli,omitempty"`
}

// No value beyond this is exact in thousandths.
const largestMilli = 1 << 53

func quantityOf(value resource.Quantity) quantity {
	if value.CmpInt64(largestMilli/1000) >= 0 {
		return quantity{Quantity: value.String()}
	}
	milli := value.MilliValue()
	return quantity{Quantity: resource.NewMilliQuantity(milli, resource.DecimalSI).String(), Milli: &milli}
}

// What is different in every run: the stub's address and the time of the query.
var (
	urls  = regexp.MustCompile(`Get "[^"]*"`)
	stack = regexp.MustCompile(`(?s)\ngoroutine .*`)
)

// stable is an error's text without what is different in every run.
func stable(text string) string {
	return stack.ReplaceAllString(urls.ReplaceAllString(text, `Get "URL"`), "")
}
