// Reads manifests from standard input as kubectl does, and prints each document as one line of JSON.
//
// The decoder is the one that kubectl's -f stands on; it splits the stream and reads each document by sigs.k8s.io/yaml, in which a
// name such as `on` without quotes is a truth value.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// How far ahead the decoder looks to tell JSON from YAML: what kubectl uses.
const lookAhead = 4096

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	decoder := yaml.NewYAMLOrJSONDecoder(in, lookAhead)
	for {
		var document json.RawMessage
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// A document of comments only is nothing to kubectl.
		if len(document) == 0 || string(document) == "null" {
			continue
		}
		var line bytes.Buffer
		if err := json.Compact(&line, document); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, line.String()); err != nil {
			return err
		}
	}
}
