//! Local calendar days of IANA time zones, fast enough to be asked for every event.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{IANA_TZDB_VERSION, TZ_VARIANTS, Tz};

use crate::error::{Error, Result};
use crate::instant::{DAY, EPOCH_UNIX_SECONDS, HOUR, Instant, Micros, SECOND};

/// A local calendar day, as days since 2000-01-01.
pub type Day = i64;

/// No two instants of a local day lie further apart: some days were lived twice when a zone crossed the date line (a test looks
/// at all of them). keep_extremes() in sql/status.sql says the same.
pub const LONGEST_DAY: Micros = 50 * HOUR;

/// The release of the IANA database that zones are taken from, such as "2025b".
pub const RELEASE: &str = IANA_TZDB_VERSION;

/// A time zone of the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    zone: Tz,
}

/// The list of all zones is in the order of the type's values, so that finding a zone's place takes no search.
const _: () = {
    let mut place = 0;
    while place < TZ_VARIANTS.len() {
        assert!(TZ_VARIANTS[place] as usize == place);
        place += 1;
    }
};

impl Default for Zone {
    fn default() -> Self {
        Zone::from(Tz::UTC)
    }
}

impl From<Tz> for Zone {
    fn from(zone: Tz) -> Self {
        Zone { zone }
    }
}

impl Zone {
    /// Reads an IANA name, in any case.
    pub fn parse(name: &str) -> Result<Self> {
        Tz::from_str(name)
            .or_else(|_| Tz::from_str_insensitive(name))
            .map(Zone::from)
            .map_err(|_| Error::UnknownZone(name.to_owned()))
    }

    /// The IANA name.
    pub fn name(&self) -> &'static str {
        self.zone.name()
    }

    /// The zone's place among all zones of this build.
    pub fn number(&self) -> u16 {
        self.zone as u16
    }

    /// The zone at a place that [`Zone::number`] gave.
    pub fn from_number(number: u16) -> Self {
        TZ_VARIANTS.get(usize::from(number)).map_or_else(Zone::default, |zone| Zone::from(*zone))
    }

    /// How far local time is ahead of UTC at an instant. Instants beyond the calendar of the
    /// time library take the offset of its first or last year.
    pub fn offset_at(&self, instant: Instant) -> Micros {
        let seconds = instant.div_euclid(SECOND) + EPOCH_UNIX_SECONDS;
        let seconds =
            seconds.clamp(DateTime::<chrono::Utc>::MIN_UTC.timestamp(), DateTime::<chrono::Utc>::MAX_UTC.timestamp());
        let utc = DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
        Micros::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * SECOND
    }
}

/// A stretch of time with one offset from UTC.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: Instant,
    until: Instant,
    offset: Micros,
}

/// Tells local days of one zone. It remembers the stretches of constant offset that it has
/// come across, because events cluster in time and the zone database is slow to ask.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: Zone,
    current: Stretch,
    known: Vec<Stretch>,
}

/// The time that is looked at whenever an unknown instant is asked for.
const WINDOW: Micros = 64 * DAY;
/// No zone changes its offset twice within this time (a test checks all of them).
const PROBE: Micros = 6 * HOUR;

impl Calendar {
    /// A calendar of `zone` that knows no stretch yet.
    pub fn new(zone: Zone) -> Self {
        Calendar { zone, current: Stretch { from: 0, until: 0, offset: 0 }, known: Vec::new() }
    }

    /// The zone whose days it tells.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The local day of an instant.
    #[inline]
    pub fn day_of(&mut self, instant: Instant) -> Day {
        if instant < self.current.from || instant >= self.current.until {
            self.current = self.stretch_of(instant);
        }
        instant.saturating_add(self.current.offset).div_euclid(DAY)
    }

    /// The first instant that lies on `day` or a later one.
    pub fn start_of(&mut self, day: Day) -> Instant {
        // Midnights lie on quarters of an hour in UTC wherever a day begins twice, so no first one is stepped over.
        let around = day.saturating_mul(DAY);
        let mut before = around.saturating_sub(DAY + 12 * HOUR);
        let mut after = before;
        while self.day_of(after) < day {
            before = after;
            match after.checked_add(HOUR / 4) {
                Some(next) => after = next,
                None => return Instant::MAX,
            }
        }
        self.first_where(before, after, |calendar, instant| calendar.day_of(instant) >= day)
    }

    /// The first instant in `(before, after]` for which `holds`; it must not hold at `before`.
    fn first_where(
        &mut self,
        mut before: Instant,
        mut after: Instant,
        mut holds: impl FnMut(&mut Self, Instant) -> bool,
    ) -> Instant {
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if holds(self, middle) { after = middle } else { before = middle }
        }
        after
    }

    /// The stretch around an instant, from memory or from the zone database.
    #[cold]
    fn stretch_of(&mut self, instant: Instant) -> Stretch {
        let place = self.known.partition_point(|stretch| stretch.until <= instant);
        if let Some(stretch) = self.known.get(place).filter(|stretch| stretch.from <= instant) {
            return *stretch;
        }
        let window_start = instant.div_euclid(WINDOW).saturating_mul(WINDOW);
        let mut stretch = self.explore(instant, window_start, window_start.saturating_add(WINDOW));
        // Touching stretches of one offset become one, so that a year costs few entries.
        let mut first = place;
        let mut end = place;
        if let Some(previous) = place.checked_sub(1).map(|index| self.known[index])
            && previous.until == stretch.from
            && previous.offset == stretch.offset
        {
            stretch.from = previous.from;
            first -= 1;
        }
        if let Some(next) = self.known.get(place)
            && next.from == stretch.until
            && next.offset == stretch.offset
        {
            stretch.until = next.until;
            end += 1;
        }
        self.known.splice(first..end, [stretch]);
        stretch
    }

    /// The stretch around `instant` within `[start, end)`, found by asking the zone in steps.
    fn explore(&self, instant: Instant, start: Instant, end: Instant) -> Stretch {
        let offset = self.zone.offset_at(instant);
        let mut from = instant;
        while from > start {
            let earlier = from.saturating_sub(PROBE).max(start);
            if self.zone.offset_at(earlier) != offset {
                from = self.change(earlier, from);
                break;
            }
            from = earlier;
        }
        let mut until = instant;
        while until < end {
            let later = until.saturating_add(PROBE).min(end);
            if self.zone.offset_at(later) != offset {
                until = self.change(until, later);
                break;
            }
            until = later;
        }
        Stretch { from, until: until.max(instant.saturating_add(1)), offset }
    }

    /// The first instant in `(before, after]` whose offset is not that of `before`.
    fn change(&self, mut before: Instant, mut after: Instant) -> Instant {
        let offset = self.zone.offset_at(before);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.zone.offset_at(middle) == offset { before = middle } else { after = middle }
        }
        after
    }
}

/// Calendars of zones that are asked for by turns.
#[derive(Debug, Clone)]
pub struct Calendars {
    /// The calendar that was asked for last.
    pub current: Calendar,
    /// The others, by the numbers of their zones.
    others: BTreeMap<u16, Calendar>,
}

impl Calendars {
    /// The calendar of one zone.
    pub fn new(zone: Zone) -> Self {
        Calendars { current: Calendar::new(zone), others: BTreeMap::new() }
    }

    /// Makes the calendar of a zone the current one; what the others know stays.
    pub fn follow(&mut self, zone: Zone) {
        if zone != self.current.zone() {
            let next = self.others.remove(&zone.number()).unwrap_or_else(|| Calendar::new(zone));
            let previous = std::mem::replace(&mut self.current, next);
            self.others.insert(previous.zone().number(), previous);
        }
    }
}
