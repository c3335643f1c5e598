//! Autoscaling: does KEDA do what the queues need?
//!
//! KEDA's and kube-state-metrics' series, as of KEDA 2.20 <https://keda.sh/docs/2.20/integrations/prometheus/> and kube-state-metrics 2.16
//! <https://github.com/kubernetes/kube-state-metrics/blob/v2.16.0/docs/metrics/workload/horizontalpodautoscaler-metrics.md>.

use crate::dashboard::{Dashboard, Variable};
use crate::panel::Panel;

/// The selector of ScaledObjects.
const SCALED_OBJECT: &str = r#"job=~"$job",scaledObject=~"$scaledObject""#;
/// The selector of their HPAs, under the name that KEDA gives them.
const HPA: &str = r#"horizontalpodautoscaler=~"keda-hpa-$scaledObject""#;

const BY_SCALED_OBJECT: &str = "namespace, scaledObject";
const BY_TRIGGER: &str = "namespace, scaledObject, metric";
const BY_HPA: &str = "namespace, horizontalpodautoscaler";

const LEGEND: &str = "{{namespace}}/{{scaledObject}}";
const TRIGGER_LEGEND: &str = "{{namespace}}/{{scaledObject}} {{metric}}";

/// The namespace of the object, which is Prometheus' `exported_namespace` unless labels are honored.
fn in_its_namespace(expression: &str) -> String {
    format!(r#"label_replace({expression}, "namespace", "$1", "exported_namespace", "(.+)")"#)
}

fn max_by(labels: &str, expression: &str) -> String {
    format!("max by ({labels}) ({})", in_its_namespace(expression))
}

/// One series a ScaledObject.
fn keda(metric: &str) -> String {
    max_by(BY_SCALED_OBJECT, &format!("{metric}{{{SCALED_OBJECT}}}"))
}

/// One series a trigger.
fn trigger(metric: &str) -> String {
    max_by(BY_TRIGGER, &format!("{metric}{{{SCALED_OBJECT}}}"))
}

fn rate(metric: &str, labels: &str, selector: &str) -> String {
    max_by(
        labels,
        &format!("rate({metric}{{{selector}}}[$__rate_interval])"),
    )
}

/// One series an HPA, under the name of its ScaledObject.
fn hpa(metric: &str) -> String {
    of_hpa_by(
        BY_SCALED_OBJECT,
        &format!("kube_horizontalpodautoscaler_{metric}{{{HPA}}}"),
    )
}

/// One series for each of these labels, of an expression with the labels of an HPA.
fn of_hpa_by(labels: &str, expression: &str) -> String {
    let named = format!(
        r#"label_replace({}, "scaledObject", "$1", "horizontalpodautoscaler", "keda-hpa-(.+)")"#,
        in_its_namespace(expression)
    );
    format!("max by ({labels}) ({named})")
}

/// The ready pods of the Deployment that the HPA of a ScaledObject scales.
fn ready() -> String {
    let info = in_its_namespace(&format!("kube_horizontalpodautoscaler_info{{{HPA}}}"));
    let info =
        format!(r#"label_replace({info}, "deployment", "$1", "scaletargetref_name", "(.+)")"#);
    let info = format!(
        r#"label_replace({info}, "scaledObject", "$1", "horizontalpodautoscaler", "keda-hpa-(.+)")"#
    );
    let pods = max_by(
        "namespace, deployment",
        "kube_deployment_status_replicas_ready",
    );
    format!(
        "max by ({BY_SCALED_OBJECT}) (max by (namespace, deployment, scaledObject) ({info}) * on (namespace, deployment) group_left () {pods})"
    )
}

pub(crate) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "bullmq-scaling",
        title: "BullMQ / Autoscaling",
        description: "ScaledObjects and their HPAs: does KEDA do what the queues need? Needs the metrics of KEDA's operator (prometheus.operator.enabled) and kube-state-metrics.",
        variables: vec![
            Variable {
                name: "job",
                label: "Job",
                query: "label_values(keda_scaled_object_paused, job)".to_owned(),
                multi: true,
                all: ".+",
            },
            Variable {
                name: "scaledObject",
                label: "ScaledObject",
                query: r#"label_values(keda_scaled_object_paused{job=~"$job"}, scaledObject)"#
                    .to_owned(),
                multi: true,
                all: ".+",
            },
        ],
        annotation: (
            "Scaling paused",
            format!("{} == 1", keda("keda_scaled_object_paused")),
        ),
        rows: vec![
            ("Now", now()),
            ("Metric and replicas", replicas()),
            (
                "Is the maximum enough, is the start quick enough?",
                enough(),
            ),
            ("KEDA", operator()),
        ],
    }
}

fn now() -> Vec<Panel> {
    let (desired, maximum) = (hpa("status_desired_replicas"), hpa("spec_max_replicas"));
    vec![
        Panel::stat("ScaledObjects", "none", "ScaledObjects that KEDA tells of. Empty: switch on the metrics of KEDA's operator.", format!("count({})", keda("keda_scaled_object_paused"))),
        Panel::stat("Active", "none", "ScaledObjects with a trigger that wants replicas.", format!("count({} == 1) or vector(0)", keda("keda_scaler_active"))),
        Panel::stat("Paused", "none", "Paused by an annotation. Remove it if nobody meant this.", format!("sum({})", keda("keda_scaled_object_paused"))).red_from(1.0),
        Panel::stat("At maximum", "none", "HPAs that want as many replicas as they may have. If their queues' oldest jobs wait long, raise the maximum.", format!("count({desired} >= {maximum}) or vector(0)")).red_from(1.0),
        Panel::stat("Errors a second", "ops", "Errors of KEDA with ScaledObjects. While a trigger fails KEDA holds: `kubectl describe scaledobject` shows the last one. Once a fallback has begun KEDA counts none: failed requests to Prometheus stand below.", format!("sum({})", rate("keda_scaled_object_errors_total", BY_SCALED_OBJECT, SCALED_OBJECT))).red_from(0.001),
        Panel::stat("KEDA", "none", "KEDA's versions. Empty answers are counted from 2.20 on.", "count(count by (version) (keda_build_info{job=~\"$job\"}))").wide(4),
    ]
}

fn replicas() -> Vec<Panel> {
    let metric = |of: &str| {
        let expression = format!(
            r#"kube_horizontalpodautoscaler_{of}_target_metric{{{HPA},metric_target_type="average"}}"#
        );
        of_hpa_by("namespace, scaledObject, metric_name", &expression)
    };
    vec![
        Panel::lines("Metric", "short", "What each trigger's query answers, over all replicas. A gap is an empty answer or an error, on which KEDA holds.")
            .query(trigger("keda_scaler_metrics_value"), TRIGGER_LEGEND),
        Panel::lines("Metric a replica against its target", "short", "The HPA adds replicas while the metric a replica is above the target by more than its tolerance, 10% unless told otherwise.")
            .query(metric("status"), "{{namespace}}/{{scaledObject}} {{metric_name}}")
            .query(metric("spec"), "{{namespace}}/{{scaledObject}} {{metric_name}} target"),
        Panel::lines("Replicas", "short", "Ready far below desired for long: pods that do not start, or take long to.")
            .query(hpa("status_current_replicas"), "{{scaledObject}} current")
            .query(hpa("status_desired_replicas"), "{{scaledObject}} desired")
            .query(ready(), "{{scaledObject}} ready"),
        Panel::lines("Bounds", "short", "What the HPA may choose from. At 0 replicas KEDA, and not the HPA, decides.")
            .query(hpa("spec_min_replicas"), "{{scaledObject}} min")
            .query(hpa("spec_max_replicas"), "{{scaledObject}} max"),
        Panel::timeline("Active", "Whether a trigger wants replicas: what wakes from zero and lets fall to it.").query(keda("keda_scaler_active"), LEGEND),
        Panel::timeline("Paused", "While an annotation pauses it nothing is scaled.").query(keda("keda_scaled_object_paused"), LEGEND),
        Panel::table("Conditions of the HPAs", "AbleToScale false: the target cannot be scaled. ScalingActive false is normal at zero replicas and wrong while the trigger is active. ScalingLimited true: a bound holds it.")
            .columns(&[("namespace", "Namespace"), ("horizontalpodautoscaler", "HPA"), ("condition", "Condition"), ("status", "Status")])
            .query(format!("{} == 1", max_by("namespace, horizontalpodautoscaler, condition, status", &format!("kube_horizontalpodautoscaler_status_condition{{{HPA}}}"))), "").wide(12),
        Panel::lines("Changes of the desired replicas", "short", "Often and to and fro: give scaleDown a longer window.")
            .query(max_by(BY_HPA, &format!("changes(kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}[$__rate_interval])")), "{{namespace}}/{{horizontalpodautoscaler}}"),
    ]
}

fn enough() -> Vec<Panel> {
    let (desired, maximum) = (hpa("status_desired_replicas"), hpa("spec_max_replicas"));
    vec![
        Panel::lines("Headroom", "short", "Replicas that are left up to the maximum. At 0 for long: raise it, if jobs wait too long.")
            .query(format!("{maximum} - {desired}"), LEGEND),
        Panel::lines("Demand a replica", "short", "What the queries answer, by the ready replicas: jobs for each.")
            .query(format!("sum by ({BY_SCALED_OBJECT}) ({}) / ({} > 0)", trigger("keda_scaler_metrics_value"), ready()), LEGEND),
        Panel::table("In the time shown", "Time at maximum: a cost bound that is felt. Time awake with nothing ready: cold starts; `startup` in the spec starts workers before delayed jobs fall due.")
            .columns(&[("namespace", "Namespace"), ("scaledObject", "ScaledObject")])
            .query(format!("avg_over_time(({desired} >= bool {maximum})[$__range:])"), "Time at maximum")
            .query(format!("avg_over_time(({} * on ({BY_SCALED_OBJECT}) ({} == bool 0))[$__range:])", keda("keda_scaler_active"), ready()), "Time awake with nothing ready")
            .query(format!("avg_over_time({desired}[$__range:])"), "Mean replicas")
            .column_unit("Time at maximum", "percentunit")
            .column_unit("Time awake with nothing ready", "percentunit"),
    ]
}

fn operator() -> Vec<Panel> {
    vec![
        Panel::lines("Errors a second", "ops", "By ScaledObject, and by trigger. KEDA holds while they go on. Once a fallback has begun it counts none, but its requests to Prometheus.")
            .query(rate("keda_scaled_object_errors_total", BY_SCALED_OBJECT, SCALED_OBJECT), LEGEND)
            .query(rate("keda_scaler_detail_errors_total", BY_TRIGGER, SCALED_OBJECT), TRIGGER_LEGEND),
        Panel::lines("Empty answers a second", "ops", "The query had no answer: a queue, its Redis or the exporter is not seen, and KEDA holds. KEDA 2.20 and newer.")
            .query(rate("keda_scaler_empty_upstream_responses_total", "namespace, scaledResource, triggerName", r#"job=~"$job",scaledResource=~"$scaledObject""#), "{{namespace}}/{{scaledResource}} {{triggerName}}"),
        Panel::lines("Time for an answer", "s", "How long KEDA waits for each trigger's metric. At the trigger's timeout, 5 s in what we generate, it is an error.")
            .query(trigger("keda_scaler_metrics_latency_seconds"), TRIGGER_LEGEND).red_from(5.0),
        Panel::lines("Requests to Prometheus a second", "ops", "By status: anything but 200 is an answer that KEDA cannot use. KEDA 2.20 and newer.")
            .query(rate("keda_scaler_http_requests_total", "namespace, scaled_resource, status_code", r#"job=~"$job",scaled_resource=~"$scaledObject""#), "{{namespace}}/{{scaled_resource}} {{status_code}}"),
        Panel::lines("Requests to Prometheus, slowest in twenty", "s", "How long requests take, by status. KEDA 2.20 and newer.")
            .query("histogram_quantile(0.95, sum by (le, status_code) (rate(keda_scaler_http_request_duration_seconds_bucket{job=~\"$job\"}[$__rate_interval])))", "{{status_code}}"),
        Panel::lines("Delay of KEDA's loop", "s", "How much later than its polling interval KEDA looks at each ScaledObject. Seconds: the operator has too little CPU.")
            .query(max_by("namespace, resource", r#"keda_internal_scale_loop_latency_seconds{job=~"$job",resource=~"$scaledObject"}"#), "{{namespace}}/{{resource}}"),
    ]
}
