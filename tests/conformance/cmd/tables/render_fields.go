package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// line is one field in the table.
type line struct {
	Type      string   `json:"type"`
	Required  bool     `json:"required,omitempty"`
	Enum      []string `json:"enum,omitempty"`
	Minimum   *float64 `json:"minimum,omitempty"`
	Maximum   *float64 `json:"maximum,omitempty"`
	MinLength *int64   `json:"minLength,omitempty"`
	MinItems  *int64   `json:"minItems,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
}

// renderer gives each form of each Go type a name and writes it once.
type renderer struct {
	// The types by name: the lines of their fields, sorted.
	types map[string]string
	// The name of each form that was seen, by the Go type's name and its lines.
	names map[string]string
	kind  string
}

func renderFields(keda, kubernetes module, roots map[string]*node) ([]byte, error) {
	renderer := renderer{types: make(map[string]string), names: make(map[string]string)}
	objects := make(map[string]string)
	for _, kind := range kinds {
		renderer.kind = kind.name
		name, err := renderer.typeOf(roots[kind.name])
		if err != nil {
			return nil, err
		}
		if objects[kind.name], err = compact(map[string]string{"apiVersion": kind.apiVersion, "type": name}); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\n\"generated\": \"make conformance-update; by hand it will be overwritten\",\n")
	fmt.Fprintf(&out, "\"sources\": {\"keda\": %q, \"kubernetes\": %q},\n", keda.Path+" "+keda.Version, kubernetes.Path+" "+kubernetes.Version)
	fmt.Fprintf(&out, "\"kinds\": {\n%s},\n\"types\": {\n", lines(objects, "  "))
	for index, name := range slices.Sorted(maps.Keys(renderer.types)) {
		if index > 0 {
			out.WriteString(",\n")
		}
		fmt.Fprintf(&out, "  %q: {\n%s  }", name, renderer.types[name])
	}
	out.WriteString("\n}\n}\n")
	return out.Bytes(), nil
}

// lines are a JSON object's members, one on a line, sorted.
func lines(members map[string]string, indent string) string {
	var out bytes.Buffer
	for index, name := range slices.Sorted(maps.Keys(members)) {
		if index > 0 {
			out.WriteString(",\n")
		}
		fmt.Fprintf(&out, "%s%q: %s", indent, name, members[name])
	}
	out.WriteString("\n")
	return out.String()
}

// typeOf is a node's type as the table writes it: a word, the name of an object's type, or one of these in a list or a map.
func (r *renderer) typeOf(n *node) (string, error) {
	switch n.word {
	case "list", "map":
		item, err := r.typeOf(n.item)
		if n.word == "list" {
			return "[]" + item, err
		}
		return "map[string]" + item, err
	case "object":
		return r.objectOf(n)
	case "integer":
		if n.format == "int32" {
			return "int32", nil
		}
		return "int64", nil
	}
	return n.word, nil
}

func (r *renderer) objectOf(n *node) (string, error) {
	members := make(map[string]string)
	for name, field := range n.fields {
		typ, err := r.typeOf(field.node)
		if err != nil {
			return "", err
		}
		// Of a list or a map, what is said of its values is said here.
		value := field.node
		for value.item != nil {
			value = value.item
		}
		members[name], err = compact(line{
			Type: typ,
			// What is filled in before it is checked need not be written.
			Required:  field.required && !field.defaulted,
			Enum:      value.enum,
			Minimum:   value.minimum,
			Maximum:   value.maximum,
			MinLength: value.minLength,
			MinItems:  field.node.minItems,
			Pattern:   value.pattern,
		})
		if err != nil {
			return "", err
		}
	}
	text := lines(members, "    ")
	form := n.name + "\n" + text
	if name, seen := r.names[form]; seen {
		return name, nil
	}
	name := n.name
	if _, taken := r.types[name]; taken {
		name += "@" + r.kind
	}
	if _, taken := r.types[name]; taken || n.name == "" {
		return "", fmt.Errorf("%s has two forms of %q", r.kind, n.name)
	}
	r.types[name], r.names[form] = text, name
	return name, nil
}
