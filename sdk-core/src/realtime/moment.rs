//! Time as one number: the machine compares moments all the time, and most of what it waits for is not set.

use core::time::Duration;

/// Nanoseconds since the runtime's fixed moment, or between two moments: enough for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) const ZERO: Moment = Moment(0);
    /// What is not set never comes.
    pub(crate) const NEVER: Moment = Moment(u64::MAX);

    pub(crate) fn of(time: Duration) -> Moment {
        const SECONDS_MAX: u64 = u64::MAX / 1_000_000_000 - 1;
        if time.as_secs() > SECONDS_MAX {
            return Moment::NEVER;
        }
        Moment(time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos()))
    }

    pub(crate) const fn ms(ms: u64) -> Moment {
        Moment(ms.saturating_mul(1_000_000))
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    pub(crate) fn plus(self, time: Moment) -> Moment {
        Moment(self.0.saturating_add(time.0))
    }

    /// How long after `earlier`.
    pub(crate) fn since(self, earlier: Moment) -> Moment {
        Moment(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn half(self) -> Moment {
        Moment(self.0 / 2)
    }

    pub(crate) fn is_set(self) -> bool {
        self != Moment::NEVER
    }

    /// Is there something to wait for, that is yet to come?
    pub(crate) fn is_ahead(self, now: Moment) -> bool {
        self.is_set() && self > now
    }

    /// The moment, or the first of all where none is set.
    pub(crate) fn or_zero(self) -> Moment {
        if self.is_set() { self } else { Moment::ZERO }
    }

    /// Unsets it; what it was.
    pub(crate) fn take(&mut self) -> Moment {
        core::mem::replace(self, Moment::NEVER)
    }
}
