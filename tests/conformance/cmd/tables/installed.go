package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// schemaPath is where a patch of KEDA's finds the schema in a CRD.
const schemaPath = "/spec/versions/0/schema/openAPIV3Schema"

// operation is one of a JSON patch: https://www.rfc-editor.org/rfc/rfc6902.
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// asInstalled makes a kind of KEDA's into what a cluster has: the CRD in config/crd/bases, which must say what the types say,
// with the patches of config/crd/patches.
func (r *reader) asInstalled(keda module, kind kind, root *node) error {
	directory := filepath.Join(keda.Dir, "config", "crd")
	var definition apiextensionsv1.CustomResourceDefinition
	base := filepath.Join(directory, "bases", "keda.sh_"+strings.ToLower(kind.name)+"s.yaml")
	if err := readYAML(base, &definition); err != nil {
		return err
	}
	embedMeta(root)
	root.fields["metadata"].node = &node{word: "any"}
	schema := *definition.Spec.Versions[0].Schema.OpenAPIV3Schema
	if differences := root.differences("", schema); len(differences) > 0 {
		return fmt.Errorf("the Go types and %s differ:\n  %s", base, strings.Join(differences, "\n  "))
	}
	var patch []operation
	file := filepath.Join(directory, "patches", strings.ToLower(kind.name)+"_patch.yaml")
	if err := readYAML(file, &patch); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, operation := range patch {
		if err := root.patch(operation); err != nil {
			return fmt.Errorf("%s: %s %s: %w", file, operation.Op, operation.Path, err)
		}
	}
	r.completeMeta(root)
	return nil
}

func readYAML(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// embedMeta leaves of each object's metadata what a CRD has of it:
// https://github.com/kubernetes-sigs/controller-tools/blob/v0.21.0/pkg/crd/known_types.go.
func embedMeta(n *node) {
	if n.name == "meta.ObjectMeta" {
		n.name = "meta.EmbeddedObjectMeta"
		kept := []string{"annotations", "finalizers", "labels", "name", "namespace"}
		maps.DeleteFunc(n.fields, func(name string, _ *field) bool { return !slices.Contains(kept, name) })
	}
	for _, field := range n.fields {
		embedMeta(field.node)
	}
	if n.item != nil {
		embedMeta(n.item)
	}
}

// completeMeta gives an object its metadata, which the API server knows without a CRD, and where the CRD keeps unknown fields of
// it (in a ScaledJob's pod template) what the Job's pods will take.
func (r *reader) completeMeta(root *node) {
	var walk func(*node)
	walk = func(n *node) {
		for _, field := range n.fields {
			if field.node.open {
				field.node = r.objectMeta
			} else {
				walk(field.node)
			}
		}
		if n.item != nil {
			walk(n.item)
		}
	}
	walk(root)
	root.fields["metadata"].node = r.objectMeta
}

// patch does to a node what a JSON patch does to its schema.
func (n *node) patch(operation operation) error {
	path, found := strings.CutPrefix(operation.Path, schemaPath+"/")
	if !found {
		return errors.New("not in the schema")
	}
	steps := strings.Split(path, "/")
	for len(steps) > 2 || steps[0] == "properties" || steps[0] == "items" {
		switch steps[0] {
		case "properties":
			child := n.fields[steps[1]]
			if child == nil {
				return fmt.Errorf("no field %s", steps[1])
			}
			if len(steps) == 2 {
				if operation.Op != "remove" {
					return errors.New("unknown operation on a field")
				}
				delete(n.fields, steps[1])
				return nil
			}
			n, steps = child.node, steps[2:]
		case "items":
			n, steps = n.item, steps[1:]
		default:
			return fmt.Errorf("unknown step %s", steps[0])
		}
	}
	if operation.Op != "add" {
		return errors.New("unknown operation on a value")
	}
	switch steps[0] {
	case "minimum":
		return json.Unmarshal(operation.Value, &n.minimum)
	case "maximum":
		return json.Unmarshal(operation.Value, &n.maximum)
	case "x-kubernetes-preserve-unknown-fields":
		return json.Unmarshal(operation.Value, &n.open)
	case "required":
		var name string
		if err := json.Unmarshal(operation.Value, &name); err != nil {
			return err
		}
		if n.fields[name] == nil {
			return fmt.Errorf("no field %s", name)
		}
		n.fields[name].required = true
		return nil
	}
	return fmt.Errorf("unknown keyword %s", steps[0])
}

// differences are those between a node and a schema of a CRD, each with its path.
func (n *node) differences(path string, schema apiextensionsv1.JSONSchemaProps) []string {
	var found []string
	differ := func(what string, ours, theirs any) {
		found = append(found, fmt.Sprintf("%s: %s: %v in the types, %v in the CRD", path, what, ours, theirs))
	}
	if word := wordOf(schema); n.word != word {
		differ("type", n.word, word)
		return found
	}
	narrowed := node{word: n.word}
	narrowed.narrow(schema)
	// Kubernetes' own enums are not in KEDA's CRDs.
	if len(narrowed.enum) > 0 && !slices.Equal(n.enum, narrowed.enum) {
		differ("enum", n.enum, narrowed.enum)
	}
	for _, bound := range []struct {
		what         string
		ours, theirs any
	}{
		{"format", n.format, narrowed.format},
		{"minimum", text(n.minimum), text(narrowed.minimum)},
		{"maximum", text(n.maximum), text(narrowed.maximum)},
		{"minLength", text(n.minLength), text(narrowed.minLength)},
		{"minItems", text(n.minItems), text(narrowed.minItems)},
		{"pattern", n.pattern, narrowed.pattern},
	} {
		if bound.ours != bound.theirs {
			differ(bound.what, bound.ours, bound.theirs)
		}
	}
	switch n.word {
	case "list":
		found = append(found, n.item.differences(path+"[]", *schema.Items.Schema)...)
	case "map":
		found = append(found, n.item.differences(path+"{}", *schema.AdditionalProperties.Schema)...)
	case "object":
		names := slices.Sorted(maps.Keys(n.fields))
		if theirs := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(names, theirs) {
			differ("fields", names, theirs)
			return found
		}
		for _, name := range names {
			field, property := n.fields[name], schema.Properties[name]
			if required := slices.Contains(schema.Required, name); field.required != required {
				differ("required "+name, field.required, required)
			}
			if defaulted := property.Default != nil; field.defaulted != defaulted {
				differ("default of "+name, field.defaulted, defaulted)
			}
			found = append(found, field.node.differences(path+"."+name, property)...)
		}
	}
	return found
}

func wordOf(schema apiextensionsv1.JSONSchemaProps) string {
	switch {
	case schema.XIntOrString && schema.Pattern != "":
		return "quantity"
	case schema.XIntOrString:
		return "intOrString"
	case schema.Type == "array":
		return "list"
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		return "map"
	case len(schema.Properties) > 0:
		return "object"
	case schema.Type == "object", schema.Type == "":
		return "any"
	}
	return schema.Type
}

func text[T any](value *T) string {
	if value == nil {
		return "none"
	}
	return fmt.Sprint(*value)
}
