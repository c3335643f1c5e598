//! The Grafana dashboards, written from one place so that their variables, links, units and aggregations are the same everywhere.
//!
//! What is shown stands in `queues`, `queue` and `scaling`, one line a query; how Grafana wants it said stands in `panel` and `dashboard`. The
//! JSON is committed beside this crate, because that is what people import, and a test compares the two.

mod dashboard;
mod panel;
mod queue;
mod queues;
mod scaling;

/// The files of `dashboards/`: each name with its text.
pub fn dashboards() -> [(&'static str, String); 3] {
    [
        ("queues.json", queues::dashboard().json()),
        ("queue.json", queue::dashboard().json()),
        ("scaling.json", scaling::dashboard().json()),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_is_committed_is_what_is_written_here() {
        for (name, text) in super::dashboards() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let committed = std::fs::read_to_string(path).unwrap_or_default();
            assert!(
                committed == text,
                "dashboards/{name} is out of date; `make docs` writes it anew"
            );
        }
    }
}
