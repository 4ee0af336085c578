//! Points in time and distances between them, as integers.

/// Microseconds since 2000-01-01 00:00 UTC. `i64::MIN` and `i64::MAX` stand for ±infinity.
pub type Instant = i64;

/// A distance between two instants, in microseconds.
pub type Micros = i64;

/// One second in microseconds.
pub const SECOND: Micros = 1_000_000;
/// One minute in microseconds.
pub const MINUTE: Micros = 60 * SECOND;
/// One hour in microseconds.
pub const HOUR: Micros = 60 * MINUTE;
/// 24 hours in microseconds.
pub const DAY: Micros = 24 * HOUR;

/// The first finite instant of PostgreSQL's `timestamptz`: 4714-11-24 00:00 BC, UTC.
pub const EARLIEST: Instant = -211_813_488_000_000_000;
/// The first instant after the last one of PostgreSQL's `timestamptz`: 294277-01-01 00:00, UTC.
pub const END_OF_TIME: Instant = 9_223_371_331_200_000_000;
/// The last finite instant of PostgreSQL's `timestamptz`.
pub const LATEST: Instant = END_OF_TIME - 1;
/// 2000-01-01 00:00 UTC in seconds since 1970-01-01 00:00 UTC.
pub const EPOCH_UNIX_SECONDS: i64 = 946_684_800;

/// Whether `instant` is a moment that an event can have: ±infinity is not.
#[inline]
pub fn is_finite(instant: Instant) -> bool {
    instant != Instant::MIN && instant != Instant::MAX
}
