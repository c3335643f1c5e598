//! Replicas, as KEDA and the HPA compute them of what was answered.

use super::report::{Decision, TriggerReport};
use crate::decimal::Decimal;
use crate::plan::Plan;

/// What KEDA would do now.
pub(super) fn decision(plan: &Plan<'_>, triggers: &[TriggerReport]) -> Decision {
    let replicas = plan.workload.replicas;
    let known: Vec<_> = triggers
        .iter()
        .filter_map(|trigger| Some((*trigger.value.as_ref().ok()?, trigger.threshold)))
        .collect();
    let active = known.iter().any(|(value, _)| *value > 0.0);
    if known.len() < triggers.len() {
        return match plan.fallback {
            Some(fallback) => Decision::Fallback {
                replicas: fallback.replicas,
                after_failures: fallback.after_failures,
            },
            None if active => Decision::Wake,
            None => Decision::Hold,
        };
    }
    if !active && replicas.min() == 0 {
        return Decision::Zero;
    }
    let least = replicas.min().max(1);
    let wanted = known
        .iter()
        .map(|(value, threshold)| wanted(*value, *threshold))
        .max();
    let now = wanted.unwrap_or(0).clamp(least, replicas.max());
    let kept = known.first().and_then(|(value, threshold)| {
        let (from, to) = kept(*value, *threshold);
        let (from, to) = (from.max(least), to.min(replicas.max()));
        (from <= to && (from, to) != (now, now)).then_some((from, to))
    });
    Decision::Replicas { now, kept }
}

/// A value in thousandths, as KEDA hands it on. Below zero it is nothing.
fn thousandths(value: f64) -> u128 {
    // KEDA prints three decimals, and Kubernetes reads them back exactly.
    let text = format!("{:.3}", value.max(0.0));
    text.replace('.', "").parse().unwrap_or(u128::MAX)
}

/// The replicas that the HPA computes from an average value: `ceil(value / threshold)`.
pub(super) fn wanted(value: f64, threshold: Decimal) -> u32 {
    let replicas = thousandths(value).div_ceil(u128::from(threshold.thousandths().max(1)));
    u32::try_from(replicas).unwrap_or(u32::MAX)
}

/// From and to how many replicas the HPA leaves as they are: those with which the average is within a tenth of the threshold.
/// See <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>.
fn kept(value: f64, threshold: Decimal) -> (u32, u32) {
    let (value, threshold) = (
        thousandths(value).saturating_mul(10),
        u128::from(threshold.thousandths().max(1)),
    );
    let narrow = |number: u128| u32::try_from(number).unwrap_or(u32::MAX);
    (
        narrow(value.div_ceil(threshold * 11)),
        narrow(value / (threshold * 9)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_those_of_the_hpa_with_its_tolerance() {
        let decimal = |text| Decimal::parse(text).unwrap();
        for (value, threshold, replicas, left) in [
            (0.0, "5", 0, (0, 0)),
            (-3.0, "5", 0, (0, 0)),
            (0.001, "5", 1, (1, 0)),
            (10.0, "10", 1, (1, 1)),
            // The golden vectors of the HPA: a ratio of 1.1 is left as it is, and one above is not.
            (11.0, "10", 2, (1, 1)),
            (11.001, "10", 2, (2, 1)),
            (100.0, "10", 10, (10, 11)),
            (95.0, "10", 10, (9, 10)),
            (6.3, "0.9", 7, (7, 7)),
            (1e30, "0.001", u32::MAX, (u32::MAX, u32::MAX)),
        ] {
            assert_eq!(
                wanted(value, decimal(threshold)),
                replicas,
                "{value} / {threshold}"
            );
            assert_eq!(
                kept(value, decimal(threshold)),
                left,
                "{value} / {threshold}"
            );
        }
    }
}
