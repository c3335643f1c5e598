// Command tables writes the tables that the linter embeds, from KEDA's and Kubernetes' own Go types at the versions of go.mod:
// fields.json, every field of the kinds that are linted, and trigger-keys.json, every metadata key of KEDA's triggers.
//
// They are read from the source instead of being typed in by hand, because the API server drops a field that it does not know
// in silence, and a linter whose table lacks one would call a right manifest wrong.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	kedaModule          = "github.com/kedacore/keda/v2"
	kubernetesAPIModule = "k8s.io/api"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./cmd/tables DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "tables: %v\n", err)
		os.Exit(1)
	}
}

func run(directory string) error {
	keda, err := moduleOf(kedaModule)
	if err != nil {
		return err
	}
	kubernetes, err := moduleOf(kubernetesAPIModule)
	if err != nil {
		return err
	}
	fields, err := fieldTable(keda, kubernetes)
	if err != nil {
		return fmt.Errorf("fields: %w", err)
	}
	if err := os.WriteFile(filepath.Join(directory, "fields.json"), fields, 0o644); err != nil {
		return err
	}
	keys, err := triggerKeyTable(keda)
	if err != nil {
		return fmt.Errorf("trigger keys: %w", err)
	}
	return os.WriteFile(filepath.Join(directory, "trigger-keys.json"), keys, 0o644)
}

// module is where the module cache keeps a module, and at which version.
type module struct {
	Path    string
	Version string
	Dir     string
	Replace *module
}

func moduleOf(path string) (module, error) {
	output, err := exec.Command("go", "list", "-m", "-json", path).Output()
	if err != nil {
		return module{}, fmt.Errorf("go list -m %s: %w", path, err)
	}
	var found module
	if err := json.Unmarshal(output, &found); err != nil {
		return module{}, fmt.Errorf("go list -m %s: %w", path, err)
	}
	if found.Replace != nil {
		found = *found.Replace
	}
	return found, nil
}

// compact is a value as JSON on one line, without HTML escapes.
func compact(value any) (string, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(buffer.Bytes())), nil
}
