//! How long jobs run.

use std::time::Duration;

use super::time::{Micros, of_seconds};

/// How long jobs run: lognormal, which is what times of work are like, around a mean and up to a longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// The mean and the standard deviation of the logarithm of the seconds.
    location: f64,
    sigma: f64,
    longest: f64,
}

/// The quantile of the standard normal distribution below which 99 of 100 lie.
const NINETY_NINE: f64 = 2.326;
/// How many numbers stand for a distribution where its mean is looked for: one in a thousand is how far it is missed.
const SAMPLES: usize = 100_000;

impl Work {
    /// With a longest time, one job in a hundred would be longer, and is as long as that; without, the deviation is as large as the mean.
    pub(super) fn new(mean: Duration, longest: Option<Duration>) -> Self {
        let mean = mean.as_secs_f64().max(1e-6);
        let Some(longest) = longest.map(|longest| longest.as_secs_f64()) else {
            let variance = 2.0_f64.ln();
            return Self {
                location: mean.ln() - variance / 2.0,
                sigma: variance.sqrt(),
                longest: f64::INFINITY,
            };
        };
        // The smaller of the two deviations whose 99th percentile is so many times the mean; none has one beyond e^2.7.
        let ratio = (longest / mean).ln().max(0.0);
        let sigma = NINETY_NINE - (NINETY_NINE * NINETY_NINE - 2.0 * ratio).max(0.0).sqrt();
        // What is cut off at the end would be missing from the mean: the rest is moved until it is right.
        let mut random = fastrand::Rng::with_seed(0);
        let numbers: Vec<f64> = (0..SAMPLES).map(|_| normal(&mut random)).collect();
        let average = |location: f64| {
            let times = numbers
                .iter()
                .map(|number| (location + sigma * number).exp().min(longest));
            times.sum::<f64>() / f64::from(u32::try_from(SAMPLES).unwrap_or(u32::MAX))
        };
        let (mut low, mut high) = (mean.ln() - sigma * sigma, longest.ln() + sigma);
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if average(middle) < mean {
                low = middle;
            } else {
                high = middle;
            }
        }
        Self {
            location: low,
            sigma,
            longest,
        }
    }

    pub(super) fn draw(self, random: &mut fastrand::Rng) -> Micros {
        let work = (self.location + self.sigma * normal(random)).exp();
        of_seconds(work.min(self.longest)).max(1)
    }
}

/// A number of the standard normal distribution, by Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::super::time::seconds as in_seconds;
    use super::*;

    #[test]
    fn jobs_run_as_long_as_is_told_on_average_and_at_the_longest() {
        let seconds = Duration::from_secs;
        for (mean, longest, median) in [
            (seconds(2), None, 1.41),
            // A heavy tail, whose end the longest cuts off.
            (seconds(60), Some(seconds(600)), 23.3),
            (seconds(2), Some(seconds(2)), 2.0),
        ] {
            let work = Work::new(mean, longest);
            let mut random = fastrand::Rng::with_seed(1);
            let mut times: Vec<f64> = (0..100_000)
                .map(|_| in_seconds(work.draw(&mut random)))
                .collect();
            times.sort_by(f64::total_cmp);
            let half = times.get(50_000).copied().unwrap();
            assert!((half / median - 1.0).abs() < 0.03, "{mean:?}: {half}");
            let average = times.iter().sum::<f64>() / 100_000.0;
            assert!(
                (average / mean.as_secs_f64() - 1.0).abs() < 0.02,
                "{mean:?}: {average}"
            );
            let most = times.last().copied().unwrap();
            assert!(longest.is_none_or(|longest| most <= longest.as_secs_f64()));
        }
    }
}
