"""Writes a JSON Schema for each kind of object that our charts and examples have, for kubeconform.

    manifest_schemas.py OUT KUBERNETES MODULE...

These are the folders of Go modules: Kubernetes brings the API server's own OpenAPI, the others CustomResourceDefinitions.
A field that neither knows is refused, as by `kubectl apply --validate=strict`.
"""

import json
import pathlib
import sys

import yaml

KINDS = {
    "api__v1": ["ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"],
    "apis__apps__v1": ["Deployment", "StatefulSet"],
    "apis__networking.k8s.io__v1": ["NetworkPolicy"],
    "apis__policy__v1": ["PodDisruptionBudget"],
}
CRDS = [
    "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    "config/crd/bases/keda.sh_scaledjobs.yaml",
    "config/crd/bases/keda.sh_scaledobjects.yaml",
    "config/crd/bases/keda.sh_triggerauthentications.yaml",
    "manifests/crds/application-crd.yaml",
    "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
    "config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml",
    "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
]
REFERENCE = "#/components/schemas/"


def strict(schema, found):
    """The schema with nothing let pass; what it refers to is added to `found`."""
    if isinstance(schema, list):
        return [strict(item, found) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = {}
    for key, value in schema.items():
        if key == "$ref":
            name = value.removeprefix(REFERENCE)
            found.add(name)
            result[key] = "#/definitions/" + name
        # Below `properties` a key is the name of a field, whatever it looks like.
        elif key == "properties":
            result[key] = {name: strict(field, found) for name, field in value.items()}
        # The patterns and formats are Go's and Kubernetes' own, which another validator need not know.
        elif key not in ("pattern", "format", "default") and not key.startswith("x-kubernetes"):
            result[key] = strict(value, found)
    if "properties" in result and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    return result


def with_definitions(name, schemas):
    definitions, wanted = {}, {name}
    while wanted:
        current = wanted.pop()
        found = set()
        definitions[current] = strict(schemas[current], found)
        wanted |= found - definitions.keys()
    return {"$ref": "#/definitions/" + name, "definitions": definitions}


def write(out, group, version, kind, schema):
    name = "-".join(part for part in (kind, group.split(".")[0], version) if part).lower()
    (out / f"{name}.json").write_text(json.dumps(schema))


def main(out, kubernetes, *modules):
    out.mkdir(parents=True, exist_ok=True)
    for file, kinds in KINDS.items():
        path = kubernetes / "api/openapi-spec/v3" / f"{file}_openapi.json"
        schemas = json.loads(path.read_text())["components"]["schemas"]
        for name, schema in schemas.items():
            for gvk in schema.get("x-kubernetes-group-version-kind", []):
                if gvk["kind"] in kinds and name.endswith("." + gvk["kind"]):
                    write(out, gvk["group"], gvk["version"], gvk["kind"], with_definitions(name, schemas))
    for file in CRDS:
        # Exactly one module has it.
        (path,) = (module / file for module in modules if (module / file).is_file())
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"], set())
            # The API server knows the fields of metadata, which a CustomResourceDefinition leaves open.
            schema["properties"]["metadata"] = {"type": "object"}
            write(out, spec["group"], version["name"], spec["names"]["kind"], schema)


main(*(pathlib.Path(argument) for argument in sys.argv[1:]))
