package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

const (
	scalersPackages = kedaModule + "/pkg/scalers/..."
	builderPackage  = kedaModule + "/pkg/scaling"
	builderFunction = "buildScaler"
)

// KEDA's test double is no trigger that anybody writes.
const testDouble = "external-mock"

// passedOn are the triggers whose other keys KEDA hands to the scaler behind them:
// https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/external_scaler.go.
var passedOn = []string{"external", "external-push"}

// readByName are the functions that read metadata by a key that is not written at the place, with the keys. A function that is
// not here is an error, so that a new one of these is seen.
var readByName = map[string][]string{
	// The keys of its oauthKeyMapping.
	"pulsarMetadata.handleBackwardsCompatibility": {"EndpointParams", "clientID", "oauthTokenURI", "scope"},
	// Reads what the tags say, which are read here.
	"ScalerConfig.configParamValue": nil,
	// Its callers' arguments, which are read here.
	"ParseEnvironmentProperty": nil,
	// Copies all of them: passedOn.
	"parseExternalScalerMetadata": nil,
}

// key is what one metadata key of a trigger is.
type key struct {
	// Where it may stand: in the trigger's metadata, there with FromEnv after its name, or in a TriggerAuthentication.
	Metadata bool `json:"metadata,omitempty"`
	Env      bool `json:"env,omitempty"`
	Auth     bool `json:"auth,omitempty"`
	// Without it KEDA builds no scaler.
	Required bool     `json:"required,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	// Another name of this key; the first that has a value is read.
	AliasOf string `json:"aliasOf,omitempty"`
	Default string `json:"default,omitempty"`
	// KEDA refuses the trigger when it is there.
	Removed string `json:"removed,omitempty"`
	// KEDA takes it and says that it will go.
	Deprecated string `json:"deprecated,omitempty"`
}

// triggerKeyTable reads the keys from the code that reads them: the tags of the types that a scaler's constructor parses, through
// pointers and packages, and the metadata that it looks up itself. KEDA's own schema/generated/scalers-schema.json leaves the
// former out where they are behind a pointer (prometheus' authModes) and all of the latter; it must be a part of the table.
func triggerKeyTable(keda module) ([]byte, error) {
	source, err := loadSource()
	if err != nil {
		return nil, err
	}
	constructors, err := source.constructors()
	if err != nil {
		return nil, err
	}
	table := make(map[string]map[string]*key)
	for trigger, constructor := range constructors {
		if table[trigger], err = source.keys(constructor); err != nil {
			return nil, fmt.Errorf("%s: %w", trigger, err)
		}
	}
	if err := holdsSchema(keda, table); err != nil {
		return nil, err
	}
	return renderKeys(keda, table)
}

// source is KEDA's code of the scalers and what it means, by the functions' full names.
type source struct {
	functions map[string]function
	builder   *ast.FuncDecl
	builderOf *types.Info
}

type function struct {
	decl *ast.FuncDecl
	info *types.Info
}

func loadSource() (*source, error) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax}, scalersPackages, builderPackage)
	if err != nil {
		return nil, err
	}
	result := &source{functions: make(map[string]function)}
	for _, pkg := range loaded {
		for _, problem := range pkg.Errors {
			return nil, problem
		}
		for _, file := range pkg.Syntax {
			for _, decl := range file.Decls {
				decl, ok := decl.(*ast.FuncDecl)
				if !ok || decl.Body == nil {
					continue
				}
				object := pkg.TypesInfo.Defs[decl.Name].(*types.Func)
				result.functions[object.FullName()] = function{decl, pkg.TypesInfo}
				if pkg.PkgPath == builderPackage && decl.Name.Name == builderFunction {
					result.builder, result.builderOf = decl, pkg.TypesInfo
				}
			}
		}
	}
	if result.builder == nil {
		return nil, errors.New("no " + builderFunction)
	}
	return result, nil
}

// constructors are the functions that make the scalers, by the trigger's type.
func (s *source) constructors() (map[string]string, error) {
	result := make(map[string]string)
	for node := range ast.Preorder(s.builder.Body) {
		clause, ok := node.(*ast.CaseClause)
		if !ok {
			continue
		}
		for _, expression := range clause.List {
			trigger := constant.StringVal(s.builderOf.Types[expression].Value)
			statement, ok := clause.Body[0].(*ast.ReturnStmt)
			if !ok {
				return nil, fmt.Errorf("%s: its case does not just return", trigger)
			}
			call := statement.Results[0].(*ast.CallExpr)
			if trigger != testDouble {
				result[trigger] = s.builderOf.Uses[call.Fun.(*ast.SelectorExpr).Sel].(*types.Func).FullName()
			}
		}
	}
	return result, nil
}

// keys are those that a function and all that it calls by name read.
func (s *source) keys(constructor string) (map[string]*key, error) {
	keys := make(map[string]*key)
	seen := make(map[string]bool)
	waiting := []string{constructor}
	for len(waiting) > 0 {
		name := waiting[0]
		waiting = waiting[1:]
		function, known := s.functions[name]
		if seen[name] || !known {
			continue
		}
		seen[name] = true
		called, err := function.read(keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		waiting = append(waiting, called...)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key found")
	}
	return keys, nil
}

// read adds the keys that a function reads itself, and says which functions it names.
func (f function) read(keys map[string]*key) ([]string, error) {
	var called []string
	for node := range ast.Preorder(f.decl.Body) {
		switch node := node.(type) {
		case *ast.Ident:
			if callee, ok := f.info.Uses[node].(*types.Func); ok {
				called = append(called, callee.FullName())
			}
		case *ast.CallExpr:
			if err := f.readCall(node, keys); err != nil {
				return nil, err
			}
		case *ast.IndexExpr:
			if err := f.readIndex(node, keys); err != nil {
				return nil, err
			}
		}
	}
	if name := f.name(); readByName[name] != nil {
		for _, name := range readByName[name] {
			keyOf(keys, name).Metadata = true
		}
	}
	return called, nil
}

// name is the function's, with its receiver's type before a dot.
func (f function) name() string {
	name := f.decl.Name.Name
	if f.decl.Recv != nil {
		receiver := f.info.TypeOf(f.decl.Recv.List[0].Type)
		if pointer, ok := receiver.(*types.Pointer); ok {
			receiver = pointer.Elem()
		}
		if named, ok := receiver.(*types.Named); ok {
			name = named.Obj().Name() + "." + name
		}
	}
	return name
}

// readCall takes the tags of what TypedConfig parses, and a constant key that is passed on beside the metadata.
func (f function) readCall(call *ast.CallExpr, keys map[string]*key) error {
	if selector, ok := call.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == "TypedConfig" {
		return readTags(f.info.TypeOf(call.Args[0]), false, keys)
	}
	if !slices.ContainsFunc(call.Args, func(argument ast.Expr) bool { return f.holds(argument) == "metadata" }) {
		return nil
	}
	for _, argument := range call.Args {
		if value := f.info.Types[argument].Value; value != nil && value.Kind() == constant.String {
			keyOf(keys, constant.StringVal(value)).Metadata = true
		}
	}
	return nil
}

// readIndex takes the key of a lookup in the trigger's metadata or in what its TriggerAuthentication holds.
func (f function) readIndex(index *ast.IndexExpr, keys map[string]*key) error {
	held := f.holds(index.X)
	if held == "" {
		return nil
	}
	value := f.info.Types[index.Index].Value
	if value == nil {
		if _, known := readByName[f.name()]; !known && held == "metadata" {
			return fmt.Errorf("%s reads metadata by a name that is not written there", f.name())
		}
		return nil
	}
	name := constant.StringVal(value)
	base, fromEnv := strings.CutSuffix(name, "FromEnv")
	switch {
	case held == "auth":
		keyOf(keys, name).Auth = true
	case fromEnv:
		keyOf(keys, base).Env = true
	default:
		keyOf(keys, name).Metadata = true
	}
	return nil
}

// holds says what a map of strings is, by its name: the trigger's metadata, or the values of its TriggerAuthentication.
func (f function) holds(expression ast.Expr) string {
	typ := f.info.TypeOf(expression)
	if typ == nil || typ.String() != "map[string]string" {
		return ""
	}
	name := ""
	switch expression := expression.(type) {
	case *ast.Ident:
		name = expression.Name
	case *ast.SelectorExpr:
		name = expression.Sel.Name
	}
	switch strings.ToLower(name) {
	case "triggermetadata", "metadata":
		return "metadata"
	case "authparams":
		return "auth"
	}
	return ""
}

// readTags takes the keys of a struct's `keda` tags: https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/scalersconfig/typed_config.go.
func readTags(typ types.Type, optional bool, keys map[string]*key) error {
	for {
		pointer, ok := typ.Underlying().(*types.Pointer)
		if !ok {
			break
		}
		typ = pointer.Elem()
	}
	fields, ok := typ.Underlying().(*types.Struct)
	if !ok {
		return fmt.Errorf("%s is no struct", typ)
	}
	for index := range fields.NumFields() {
		text, found := reflect.StructTag(fields.Tag(index)).Lookup("keda")
		if !found {
			continue
		}
		tag := parseTag(text)
		tag.optional = tag.optional || optional
		if len(tag.names) == 0 {
			if err := readTags(fields.Field(index).Type(), tag.optional, keys); err != nil {
				return err
			}
			continue
		}
		for position, name := range tag.names {
			key := keyOf(keys, name)
			key.Metadata = key.Metadata || slices.Contains(tag.order, "triggerMetadata")
			key.Env = key.Env || slices.Contains(tag.order, "resolvedEnv")
			key.Auth = key.Auth || slices.Contains(tag.order, "authParams")
			key.Enum, key.Default, key.Removed, key.Deprecated = tag.enum, tag.fallback, tag.removed, tag.deprecated
			if position > 0 {
				key.AliasOf = tag.names[0]
			} else {
				key.Required = !tag.optional && tag.fallback == "" && tag.removed == ""
			}
		}
	}
	return nil
}

type tag struct {
	names, order, enum            []string
	optional                      bool
	fallback, removed, deprecated string
}

func parseTag(text string) tag {
	var result tag
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "name":
			result.names = trimmed(value)
		case "order":
			result.order = trimmed(value)
		case "enum":
			result.enum = trimmed(value)
		case "optional":
			result.optional = value == "" || value == "true"
		case "default":
			result.fallback = value
		case "deprecated":
			result.removed = value
		case "deprecatedAnnounce":
			result.deprecated = value
		}
	}
	return result
}

func trimmed(list string) []string {
	parts := strings.Split(list, ";")
	for index, part := range parts {
		parts[index] = strings.TrimSpace(part)
	}
	return parts
}

func keyOf(keys map[string]*key, name string) *key {
	if keys[name] == nil {
		keys[name] = &key{}
	}
	return keys[name]
}

// holdsSchema is an error that lists what KEDA's published schema has and the table has not.
func holdsSchema(keda module, table map[string]map[string]*key) error {
	var schema struct {
		Scalers []struct {
			Type       string
			Parameters []struct {
				Name     string
				Metadata bool `json:"metadataVariableReadable"`
				Env      bool `json:"envVariableReadable"`
				Auth     bool `json:"triggerAuthenticationVariableReadable"`
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(keda.Dir, "schema", "generated", "scalers-schema.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		return err
	}
	var missing []string
	for _, scaler := range schema.Scalers {
		for _, parameter := range scaler.Parameters {
			key := table[scaler.Type][parameter.Name]
			if key == nil || (parameter.Metadata && !key.Metadata) || (parameter.Env && !key.Env) || (parameter.Auth && !key.Auth) {
				missing = append(missing, scaler.Type+" "+parameter.Name)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("KEDA's schema has more: %s", strings.Join(missing, ", "))
	}
	return nil
}

func renderKeys(keda module, table map[string]map[string]*key) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\n\"generated\": \"make conformance-update; by hand it will be overwritten\",\n")
	fmt.Fprintf(&out, "\"sources\": {\"keda\": %q},\n\"triggers\": {\n", keda.Path+" "+keda.Version)
	for index, trigger := range slices.Sorted(maps.Keys(table)) {
		if index > 0 {
			out.WriteString(",\n")
		}
		members := make(map[string]string)
		for name, key := range table[trigger] {
			text, err := compact(key)
			if err != nil {
				return nil, err
			}
			members[name] = text
		}
		open := ""
		if slices.Contains(passedOn, trigger) {
			open = "\"open\": true, "
		}
		fmt.Fprintf(&out, "  %q: {%s\"keys\": {\n%s  }}", trigger, open, lines(members, "    "))
	}
	out.WriteString("\n}\n}\n")
	return out.Bytes(), nil
}
