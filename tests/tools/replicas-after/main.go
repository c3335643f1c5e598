// Says what becomes of a Deployment's number of replicas when it is taken out of its manifest, by the code that kubectl, Helm and the API
// server decide it with. One line of JSON for each way; absent is what the API server fills with its default, which is 1.
//
// There is no API server here: merge patches are computed as clients do, and server-side apply runs in the API server's own field manager.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/managedfields/managedfieldstest"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// What runs: the autoscaler has brought three replicas to seven.
const (
	manifest = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"w"},"spec":{"replicas":3,"paused":false}}`
	omitted  = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"w"},"spec":{"paused":false}}`
	scaled   = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"w"},"spec":{"replicas":7,"paused":false}}`
	handover = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"w"},"spec":{"replicas":7}}`
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	for _, way := range []struct {
		name   string
		result func() (any, error)
	}{
		// kubectl apply: the last applied manifest, the new one, what runs. Helm 3 sends the same patch, with the last release's manifest.
		{"client-side, omitted at once", func() (any, error) { return clientSide(manifest, omitted) }},
		{"client-side, omitted after the last applied manifest was edited", func() (any, error) { return clientSide(omitted, omitted) }},
		{"client-side, kept in the manifest", func() (any, error) { return clientSide(manifest, manifest) }},
		{"server-side, omitted at once", func() (any, error) {
			return serverSide(apply("gitops", manifest, true), apply("gitops", omitted, true))
		}},
		{"server-side, omitted after the autoscaler has changed it", func() (any, error) {
			return serverSide(apply("gitops", manifest, true), update("hpa", scaled), apply("gitops", omitted, true))
		}},
		{"server-side, omitted after a deploy took it back from the autoscaler", func() (any, error) {
			return serverSide(apply("gitops", manifest, true), update("hpa", scaled), apply("gitops", manifest, true), apply("gitops", omitted, true))
		}},
		{"server-side, handed over and then omitted", func() (any, error) {
			return serverSide(apply("gitops", scaled, true), apply("handover", handover, false), apply("gitops", omitted, true))
		}},
		{"server-side, handed over, omitted, and then scaled", func() (any, error) {
			return serverSide(apply("gitops", scaled, true), apply("handover", handover, false), apply("gitops", omitted, true), update("hpa", manifest), apply("gitops", omitted, true))
		}},
	} {
		result, err := way.result()
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		line, err := json.Marshal(map[string]any{"way": way.name, "replicas": result})
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return nil
}

func clientSide(last, next string) (any, error) {
	meta, err := strategicpatch.NewPatchMetaFromStruct(appsv1.Deployment{})
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch([]byte(last), []byte(next), []byte(scaled), meta, true)
	if err != nil {
		return nil, err
	}
	after, err := strategicpatch.StrategicMergePatchUsingLookupPatchMeta([]byte(scaled), patch, meta)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(after, &object); err != nil {
		return nil, err
	}
	return replicas(object), nil
}

type step func(managedfieldstest.TestFieldManager) error

func apply(manager, text string, force bool) step {
	return func(fields managedfieldstest.TestFieldManager) error {
		object, err := parse(text)
		if err != nil {
			return err
		}
		return fields.Apply(object, manager, force)
	}
}

func update(manager, text string) step {
	return func(fields managedfieldstest.TestFieldManager) error {
		object, err := parse(text)
		if err != nil {
			return err
		}
		// An update keeps who manages what.
		live, ok := fields.Live().(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("unexpected %T", fields.Live())
		}
		object.SetManagedFields(live.GetManagedFields())
		return fields.Update(object, manager)
	}
}

func serverSide(steps ...step) (any, error) {
	fields := managedfieldstest.NewTestFieldManager(managedfields.NewDeducedTypeConverter(), appsv1.SchemeGroupVersion.WithKind("Deployment"))
	for _, step := range steps {
		if err := step(fields); err != nil {
			return nil, err
		}
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(fields.Live())
	if err != nil {
		return nil, err
	}
	return replicas(object), nil
}

func parse(text string) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON([]byte(text))
}

// The number, or nil where there is none.
func replicas(object map[string]any) any {
	spec, _ := object["spec"].(map[string]any)
	return spec["replicas"]
}
