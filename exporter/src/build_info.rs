//! What this program was built from, found out by `build.rs`.

/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The source revision, empty if the sources were not a git checkout.
pub const REVISION: &str = env!("BULLMQ_EXPORTER_REVISION");
/// The version of the compiler.
pub const RUSTC: &str = env!("BULLMQ_EXPORTER_RUSTC");
/// The platform that it runs on, as `architecture-system-library`.
pub const TARGET: &str = env!("BULLMQ_EXPORTER_TARGET");

/// What `--version` prints, in the form of Prometheus' own programs.
pub fn describe() -> String {
    format!(
        "bullmq-exporter, version {VERSION} (revision: {})\n  rustc version:    {RUSTC}\n  platform:         {TARGET}\n",
        if REVISION.is_empty() {
            "unknown"
        } else {
            REVISION
        }
    )
}
