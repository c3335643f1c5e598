//! A component of kustomize: the manifests, and a patch for each target that takes its number of replicas away.
//!
//! It is a `Component` and not a `Kustomization`, because a patch of the latter reaches only what the latter itself lists. A component
//! patches whatever the kustomization that includes it has. The patch merges `null`: unlike the removal by a JSON patch, that is no
//! error where the field is gone already.

use std::fmt::Write as _;

use super::{Generated, comment};
use crate::workload::{APPS_V1, Target};

/// The kinds of `apps/v1` that keep their number of replicas in `spec.replicas`.
const WITH_REPLICAS: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];

/// `kustomization.yaml`, given the file of each worker.
pub(super) fn component(generated: &Generated, files: &[String]) -> String {
    let mut out = comment(&generated.header());
    out.push_str("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources:\n");
    for file in files {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "- \"{file}\"");
    }
    let (known, others): (Vec<&Target>, Vec<&Target>) = generated
        .workers
        .iter()
        // Whatever else scales, such as a ScaledJob, has no target with replicas.
        .filter(|worker| {
            worker
                .manifests
                .iter()
                .any(|manifest| manifest.kind() == "ScaledObject")
        })
        .map(|worker| &worker.target)
        .partition(|target| {
            target.api_version == APPS_V1 && WITH_REPLICAS.contains(&target.kind.as_str())
        });
    if !known.is_empty() {
        out.push_str(
            "# KEDA's HPA sets the number of replicas. A manifest that says one too would set it back at every deploy.\npatches:\n",
        );
    }
    for target in known {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "- target:\n    group: \"apps\"\n    version: \"v1\"\n    kind: \"{kind}\"\n    name: \"{pattern}\"\n  \
             patch: |-\n    apiVersion: \"apps/v1\"\n    kind: \"{kind}\"\n    metadata:\n      name: \"{name}\"\n    \
             spec:\n      replicas: null\n",
            kind = target.kind,
            name = target.name,
            // The name of a target is a regular expression, anchored by kustomize, and then one in YAML's quotes.
            pattern = target.name.replace('.', r"\\."),
        );
    }
    for target in others {
        let _ = writeln!(
            out,
            "# Where the {} {} keeps its number of replicas is not known here: take it out of its manifest.",
            target.kind, target.name
        );
    }
    out
}
