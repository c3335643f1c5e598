//! Everything that the story plays on: the servers, the exporter, and the generated ScaledObject.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::{Exporter, Prometheus, Redis, ours, repository};
use anyhow::{Context as _, Result, ensure};

use crate::interrupt::Interrupt;
use crate::manifest::ScaledObject;
use crate::spec::Spec;

/// The spec's 15 seconds, on the demo's clock.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
const SPEC: &str = "examples/demo/spec.yaml";

/// The running servers; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) redis: Redis,
    pub(crate) exporter: Exporter,
    pub(crate) prometheus: Prometheus,
    pub(crate) spec: Spec,
    pub(crate) object: ScaledObject,
}

impl Stage {
    /// Starts everything, and tells each step.
    pub(crate) fn set(out: &mut impl Write, interrupt: &Interrupt) -> Result<Self> {
        let path = repository().join(SPEC);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let spec = Spec::from_yaml(&text)?;

        let building = Step::begin(out, "Our two programs: building what has changed")?;
        ours("bullmq-exporter")?;
        building.done(out, "done")?;
        interrupt.check()?;

        let starting = Step::begin(out, "Redis: starting a private one")?;
        let redis = Redis::start()?;
        starting.done(out, &redis.url())?;
        interrupt.check()?;

        let starting = Step::begin(out, "bullmq-exporter: starting")?;
        let exporter = Exporter::start(&redis)?;
        starting.done(out, &format!("http://{}/metrics", exporter.address()))?;
        interrupt.check()?;

        let starting = Step::begin(out, "Prometheus: starting a private one")?;
        let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
        starting.done(out, prometheus.url())?;
        interrupt.check()?;

        let generating = Step::begin(out, &format!("bullmq-keda: generate {SPEC}"))?;
        let object = ScaledObject::from_yaml(&generate(&spec, prometheus.url())?)?;
        ensure!(
            object.server_address == prometheus.url(),
            "the ScaledObject asks another Prometheus: {}",
            object.server_address
        );
        generating.done(out, &format!("ScaledObject {}", object.name))?;
        interrupt.check()?;
        Ok(Self {
            redis,
            exporter,
            prometheus,
            spec,
            object,
        })
    }
}

/// Runs `bullmq-keda generate` on the demo's spec, with `server_address` in the place of its own.
fn generate(spec: &Spec, server_address: &str) -> Result<String> {
    let folder = tempfile::Builder::new().prefix("spec-").tempdir()?;
    let copy = folder.path().join("spec.yaml");
    std::fs::write(&copy, spec.with_server_address(server_address)?)?;
    let output = Command::new(ours("bullmq-keda")?)
        .arg("generate")
        .arg(&copy)
        .output()?;
    ensure!(
        output.status.success(),
        "bullmq-keda generate ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("the manifest is not UTF-8")
}

/// A step that may take a while: what it does is written before, and what came of it after.
struct Step {
    began: Instant,
}

impl Step {
    fn begin(out: &mut impl Write, what: &str) -> Result<Self> {
        write!(out, "{what} ... ")?;
        out.flush()?;
        Ok(Self {
            began: Instant::now(),
        })
    }

    fn done(self, out: &mut impl Write, result: &str) -> Result<()> {
        writeln!(
            out,
            "{result} ({:.1} s)",
            self.began.elapsed().as_secs_f64()
        )?;
        Ok(())
    }
}
