"""Reads manifests from standard input by PyYAML, a reader of YAML 1.1, and prints each document as one line of JSON."""

import json
import sys

import yaml

for document in yaml.safe_load_all(sys.stdin.buffer):
    # A document of comments only is nothing to kubectl either. What is no JSON, such as a date, is a failure.
    if document is not None:
        print(json.dumps(document))
