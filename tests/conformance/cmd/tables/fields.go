package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-tools/pkg/crd"
	crdmarkers "sigs.k8s.io/controller-tools/pkg/crd/markers"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
)

const (
	metaPackage     = "k8s.io/apimachinery/pkg/apis/meta/v1"
	intstrPackage   = "k8s.io/apimachinery/pkg/util/intstr"
	quantityPackage = "k8s.io/apimachinery/pkg/api/resource"
	kedaPackage     = kedaModule + "/apis/keda/v1alpha1"
)

// shortNames are the packages' names in the table; a type of another package is an error, so that none comes in unseen.
var shortNames = map[string]string{
	"k8s.io/api/apps/v1":        "apps",
	"k8s.io/api/autoscaling/v2": "autoscaling",
	"k8s.io/api/batch/v1":       "batch",
	"k8s.io/api/core/v1":        "core",
	"k8s.io/api/policy/v1":      "policy",
	metaPackage:                 "meta",
	kedaPackage:                 "keda",
}

// kind is one of the objects that are linted.
type kind struct {
	name       string
	apiVersion string
	pkg        string
	// KEDA's kinds are custom resources: what their CRDs change of the Go types is applied to them.
	custom bool
}

// The order decides who gets the plain name where two kinds hold a type in different forms: the built-in kinds.
var kinds = []kind{
	{name: "Deployment", apiVersion: "apps/v1", pkg: "k8s.io/api/apps/v1"},
	{name: "StatefulSet", apiVersion: "apps/v1", pkg: "k8s.io/api/apps/v1"},
	{name: "HorizontalPodAutoscaler", apiVersion: "autoscaling/v2", pkg: "k8s.io/api/autoscaling/v2"},
	{name: "PodDisruptionBudget", apiVersion: "policy/v1", pkg: "k8s.io/api/policy/v1"},
	{name: "ScaledObject", apiVersion: "keda.sh/v1alpha1", pkg: kedaPackage, custom: true},
	{name: "ScaledJob", apiVersion: "keda.sh/v1alpha1", pkg: kedaPackage, custom: true},
	{name: "TriggerAuthentication", apiVersion: "keda.sh/v1alpha1", pkg: kedaPackage, custom: true},
	{name: "ClusterTriggerAuthentication", apiVersion: "keda.sh/v1alpha1", pkg: kedaPackage, custom: true},
}

// node is a value of one field, a list's item or a map's value.
type node struct {
	// word of the table: string, integer, boolean, number, quantity, intOrString, any; or list, map, object.
	word string
	item *node
	// Of an object: the Go type's name and its fields.
	name   string
	fields map[string]*field

	format           string
	enum             []string
	minimum, maximum *float64
	minLength        *int64
	minItems         *int64
	pattern          string
	// open: KEDA's CRD keeps fields that it does not know.
	open bool
}

type field struct {
	node     *node
	required bool
	// What the API server writes where nothing is written; such a field is never missing.
	defaulted bool
}

func fieldTable(keda, kubernetes module) ([]byte, error) {
	reader, err := newReader()
	if err != nil {
		return nil, err
	}
	roots := make(map[string]*node)
	for _, kind := range kinds {
		root, err := reader.root(kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
		if kind.custom {
			if err := reader.asInstalled(keda, kind, root); err != nil {
				return nil, fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		roots[kind.name] = root
	}
	return renderFields(keda, kubernetes, roots)
}

// reader makes nodes from Go types, by the library that makes KEDA's CRDs of them.
type reader struct {
	parser     *crd.Parser
	packages   map[string]*loader.Package
	objectMeta *node
}

func newReader() (*reader, error) {
	registry := &markers.Registry{}
	if err := crdmarkers.Register(registry); err != nil {
		return nil, err
	}
	parser := &crd.Parser{
		Collector: &markers.Collector{Registry: registry},
		Checker:   &loader.TypeChecker{},
	}
	crd.AddKnownTypes(parser)
	known := parser.PackageOverrides[metaPackage]
	parser.PackageOverrides[metaPackage] = func(p *crd.Parser, pkg *loader.Package) {
		known(p, pkg)
		// A CRD leaves an object's metadata to the API server; the linter reads it too.
		delete(p.Schemata, crd.TypeIdent{Package: pkg, Name: "ObjectMeta"})
		p.Schemata[crd.TypeIdent{Package: pkg, Name: "FieldsV1"}] = apiextensionsv1.JSONSchemaProps{}
	}
	paths := slices.Sorted(maps.Keys(shortNames))
	loaded, err := loader.LoadRoots(append(paths, intstrPackage, quantityPackage)...)
	if err != nil {
		return nil, err
	}
	packages := make(map[string]*loader.Package)
	for _, pkg := range loaded {
		packages[pkg.PkgPath] = pkg
		parser.NeedPackage(pkg)
	}
	reader := &reader{parser: parser, packages: packages}
	reader.objectMeta, err = reader.named(packages[metaPackage], "ObjectMeta")
	return reader, err
}

func (r *reader) root(kind kind) (*node, error) {
	return r.named(r.packages[kind.pkg], kind.name)
}

func (r *reader) named(pkg *loader.Package, name string) (*node, error) {
	if pkg == nil {
		return nil, fmt.Errorf("the package of %s was not loaded", name)
	}
	switch {
	case pkg.PkgPath == intstrPackage && name == "IntOrString":
		return &node{word: "intOrString"}, nil
	case pkg.PkgPath == quantityPackage && name == "Quantity":
		return &node{word: "quantity"}, nil
	}
	ident := crd.TypeIdent{Package: pkg, Name: name}
	r.parser.NeedSchemaFor(ident)
	schema, found := r.parser.Schemata[ident]
	if !found {
		return nil, fmt.Errorf("no type %s in %s", name, pkg.PkgPath)
	}
	result, err := r.node(pkg, schema)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if result.word == "object" {
		short, known := shortNames[pkg.PkgPath]
		if !known {
			return nil, fmt.Errorf("type %s is of the package %s, which has no short name", name, pkg.PkgPath)
		}
		result.name = short + "." + name
	}
	if result.word == "string" && len(result.enum) == 0 {
		result.enum = r.constants(ident)
	}
	return result, nil
}

// closed are types without the mark +enum of which Kubernetes takes no other value than its constants:
// https://github.com/kubernetes/kubernetes/blob/v1.35.0/pkg/apis/autoscaling/validation/validation.go.
var closed = []string{"HPAScalingPolicyType", "MetricSourceType", "MetricTargetType", "ScalingPolicySelect"}

// constants are the values of a string type that Kubernetes marks with +enum, which the CRD library does not read.
func (r *reader) constants(ident crd.TypeIdent) []string {
	info := r.parser.Types[ident]
	if info == nil {
		return nil
	}
	marked := marksEnum(info.RawDecl.Doc) || marksEnum(info.RawSpec.Doc)
	if !marked && !slices.Contains(closed, ident.Name) {
		return nil
	}
	ident.Package.NeedTypesInfo()
	scope := ident.Package.Types.Scope()
	typ := scope.Lookup(ident.Name).Type()
	var values []string
	for _, name := range scope.Names() {
		if value, ok := scope.Lookup(name).(*types.Const); ok && types.Identical(value.Type(), typ) {
			values = append(values, constant.StringVal(value.Val()))
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func marksEnum(comments *ast.CommentGroup) bool {
	if comments == nil {
		return false
	}
	return slices.ContainsFunc(comments.List, func(comment *ast.Comment) bool {
		return strings.TrimSpace(strings.TrimPrefix(comment.Text, "//")) == "+enum"
	})
}

func (r *reader) node(pkg *loader.Package, schema apiextensionsv1.JSONSchemaProps) (*node, error) {
	result := &node{word: "any"}
	switch {
	case schema.Ref != nil:
		name, path, err := crd.RefParts(*schema.Ref)
		if err != nil {
			return nil, err
		}
		target := pkg
		if path != "" {
			if target = pkg.Imports()[path]; target == nil {
				return nil, fmt.Errorf("%s is not imported", path)
			}
		}
		if result, err = r.named(target, name); err != nil {
			return nil, err
		}
	case schema.XIntOrString:
		result.word = "intOrString"
		if schema.Pattern != "" {
			result.word = "quantity"
		}
		return result, nil
	case schema.Type == "array":
		item, err := r.node(pkg, *schema.Items.Schema)
		if err != nil {
			return nil, err
		}
		result = &node{word: "list", item: item}
	case schema.Type == "object" && schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		item, err := r.node(pkg, *schema.AdditionalProperties.Schema)
		if err != nil {
			return nil, err
		}
		result = &node{word: "map", item: item}
	case schema.Type == "object" && (len(schema.Properties) > 0 || len(schema.AllOf) > 0):
		result = &node{word: "object", fields: make(map[string]*field)}
		for _, embedded := range schema.AllOf {
			part, err := r.node(pkg, embedded)
			if err != nil {
				return nil, err
			}
			maps.Copy(result.fields, part.fields)
		}
		for name, property := range schema.Properties {
			value, err := r.node(pkg, property)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			result.fields[name] = &field{
				node:      value,
				required:  slices.Contains(schema.Required, name),
				defaulted: property.Default != nil,
			}
		}
	case schema.Type == "string", schema.Type == "integer", schema.Type == "boolean", schema.Type == "number":
		result.word = schema.Type
	}
	// What stands at a field narrows what its type says.
	result.narrow(schema)
	return result, nil
}

// narrow takes over what a schema says of a value.
func (n *node) narrow(schema apiextensionsv1.JSONSchemaProps) {
	if schema.Format != "" {
		n.format = schema.Format
	}
	if len(schema.Enum) > 0 {
		n.enum = enumOf(schema)
	}
	if schema.Minimum != nil {
		n.minimum = schema.Minimum
	}
	if schema.Maximum != nil {
		n.maximum = schema.Maximum
	}
	if schema.MinLength != nil {
		n.minLength = schema.MinLength
	}
	if schema.MinItems != nil {
		n.minItems = schema.MinItems
	}
	if schema.Pattern != "" && n.word == "string" {
		n.pattern = schema.Pattern
	}
}

func enumOf(schema apiextensionsv1.JSONSchemaProps) []string {
	var values []string
	for _, raw := range schema.Enum {
		var value string
		if json.Unmarshal(raw.Raw, &value) == nil {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	return values
}
