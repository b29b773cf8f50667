//! Cases side by side: A B C, then C B A, then A B C, …

use anyhow::Result;

/// Measures every case once a round. Gives the samples by case, in the order of
/// the rounds: the samples of one round lie close together in time, so ratios are
/// made within a round.
pub async fn interleaved<C, S>(
    rounds: usize,
    cases: &[C],
    mut measure: impl AsyncFnMut(&C) -> Result<S>,
) -> Result<Vec<Vec<S>>> {
    let mut samples: Vec<Vec<S>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for case in order {
            samples[case].push(measure(&cases[case]).await?);
        }
    }
    Ok(samples)
}

/// A measure of two cases, by rounds.
pub fn pairs<S>(one: &[S], other: &[S], value: impl Fn(&S) -> f64) -> Vec<(f64, f64)> {
    let both = one.iter().zip(other);
    both.map(|(one, other)| (value(one), value(other)))
        .collect()
}

/// The ratios of a case to another, each made within a round.
pub fn ratios<S>(own: &[S], of: &[S], value: impl Fn(&S) -> f64) -> Vec<f64> {
    let pairs = pairs(own, of, value).into_iter();
    pairs.map(|(own, of)| own / of).collect()
}
