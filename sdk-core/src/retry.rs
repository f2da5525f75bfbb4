//! What is tried again, and when: pure functions, no clock of their own.

use core::time::Duration;

use crate::{
    transport::Failure,
    url::{civil, days_from_civil},
};

/// The longest wait that a Retry-After header is taken to mean.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);
/// The first ceiling of the exponential backoff.
const BACKOFF_FIRST_MS: u64 = 500;
/// The last ceiling of the exponential backoff.
const BACKOFF_MAX_MS: u64 = 8_000;

/// How an attempt ended, as far as trying again is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    Failed(Failure),
}

/// What to do about an [`Outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer stands.
    Done,
    /// The instance sleeps: close the gate and, where the body allows, wait for it.
    Asleep,
    /// This call was throttled: wait and repeat it alone.
    Throttled,
    /// The answer was lost on the way: repeat the call.
    Lost,
}

/// `harmless`: the call is a read or marked safe, so that doing it twice does no harm.
pub(crate) fn verdict(outcome: Outcome, harmless: bool) -> Verdict {
    match outcome {
        // Neither was processed: the gateway answers 503 before there is a server, a refused connection sent nothing.
        Outcome::Status(503) | Outcome::Failed(Failure::Refused) => Verdict::Asleep,
        Outcome::Status(429) => Verdict::Throttled,
        Outcome::Status(502 | 504) | Outcome::Failed(Failure::Broken) if harmless => Verdict::Lost,
        _ => Verdict::Done,
    }
}

/// Full jitter: a random part of 0.5 s, 1 s, 2 s, 4 s, then 8 s. `attempt` counts from 0, `random` is a fraction up to
/// 1 in units of 2⁻³².
pub(crate) fn backoff(attempt: u32, random: impl Into<u64>) -> Duration {
    let ceiling = BACKOFF_FIRST_MS.checked_shl(attempt.min(16)).unwrap_or(BACKOFF_MAX_MS).min(BACKOFF_MAX_MS);
    Duration::from_millis(ceiling.saturating_mul(random.into().min(1 << 32)) >> 32)
}

/// Reads a Retry-After header (RFC 9110 §10.2.3): seconds or an HTTP date. None where it is neither. `now` is in
/// milliseconds since the Unix epoch.
pub(crate) fn retry_after(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean more than a day.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = http_date(value, now)?;
    let wait = at.saturating_mul(1000).saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(RETRY_AFTER_MAX))
}

/// Unix seconds of an HTTP date in any of its three forms (RFC 9110 §5.6.7).
fn http_date(value: &str, now: u64) -> Option<i64> {
    let mut words = value.split([' ', ',', '-']).filter(|word| !word.is_empty());
    let _weekday = words.next()?;
    let second = words.next()?;
    let (day, month, year, time) = if second.bytes().all(|b| b.is_ascii_digit()) {
        // "Sun, 06 Nov 1994 08:49:37 GMT" or "Sunday, 06-Nov-94 08:49:37 GMT"
        let (month, year, time) = (words.next()?, words.next()?, words.next()?);
        if words.next()? != "GMT" {
            return None;
        }
        (second, month, year, time)
    } else {
        // "Sun Nov  6 08:49:37 1994"
        let (day, time, year) = (words.next()?, words.next()?, words.next()?);
        (day, second, year, time)
    };
    if words.next().is_some() {
        return None;
    }
    let number = |text: &str| text.parse::<u64>().ok().and_then(|n| u16::try_from(n).ok()).map(i64::from);
    let mut year_number = number(year)?;
    if year.len() == 2 {
        year_number = full_year(year_number, now)?;
    }
    let month = MONTHS.iter().position(|name| *name == month)?;
    let mut clock = time.split(':').map(number);
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    let day = number(day)?;
    if clock.next().is_some() || !(1..=31).contains(&day) || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let month = i64::try_from(month).ok()? + 1;
    let days = days_from_civil(year_number, month, day);
    // There is no 30 February, and no 29th in most years.
    if civil(days) != (year_number, month, day) {
        return None;
    }
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// A year of two digits: of this century, or of the last one where that would be more than 50 years ahead.
fn full_year(digits: i64, now: u64) -> Option<i64> {
    let (this_year, ..) = civil(i64::try_from(now / 86_400_000).ok()?);
    let year = this_year.checked_sub(this_year.rem_euclid(100))?.checked_add(digits)?;
    Some(if year.checked_sub(this_year)? > 50 { year.checked_sub(100)? } else { year })
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn retry_after_never_panics(value in ".*", now: u64) {
            let _ = retry_after(&value, now);
        }

        #[test]
        fn dates_agree_both_ways(days in -700_000i64..3_000_000) {
            let (year, month, day) = civil(days);
            proptest::prop_assert_eq!(days_from_civil(year, month, day), days);
        }

        #[test]
        fn backoff_stays_under_its_ceiling(attempt: u32, random: u32) {
            proptest::prop_assert!(backoff(attempt, random) < Duration::from_millis(BACKOFF_MAX_MS));
        }
    }
}
