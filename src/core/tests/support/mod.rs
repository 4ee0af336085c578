//! What the tests share: a slow, obvious way to make sessions, and instants that are worth trying.
#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate};
use chrono_tz::Tz;
use proptest::prelude::*;
use sessionize_core::instant::{DAY, EARLIEST, END_OF_TIME, EPOCH_UNIX_SECONDS, HOUR, MINUTE, SECOND};
use sessionize_core::{Boundary, Instant, Micros, Rule, SessionSet, Span};

/// The sessions of a timeout rule, by sorting and scanning; 128 bits leave nothing to overflow.
pub fn naive_timeout(instants: &[Instant], timeout: Micros, boundary: Boundary) -> Vec<Span> {
    let mut sorted = instants.to_vec();
    sorted.sort_unstable();
    let mut spans: Vec<Span> = Vec::new();
    for instant in sorted {
        match spans.last_mut() {
            Some(span) if joins(i128::from(instant) - i128::from(span.last), timeout, boundary) => {
                span.last = instant;
                span.count += 1;
            }
            _ => spans.push(Span::of(instant)),
        }
    }
    spans
}

fn joins(gap: i128, timeout: Micros, boundary: Boundary) -> bool {
    match boundary {
        Boundary::Exclusive => gap < i128::from(timeout),
        Boundary::Inclusive => gap <= i128::from(timeout),
    }
}

/// The local date of an instant, straight from the time library.
pub fn date_of(zone: Tz, instant: Instant) -> NaiveDate {
    let unix = instant + EPOCH_UNIX_SECONDS * SECOND;
    DateTime::from_timestamp_micros(unix).expect("the library's calendar has it").with_timezone(&zone).date_naive()
}

/// The same, counted as the calendar counts: days since 2000-01-01.
pub fn day_number(zone: Tz, instant: Instant) -> i64 {
    i64::from(date_of(zone, instant).num_days_from_ce()) - 730_120
}

/// The sessions of the midnight rule, by grouping local dates.
pub fn naive_midnight(instants: &[Instant], zone: Tz) -> Vec<Span> {
    let mut days: BTreeMap<NaiveDate, Span> = BTreeMap::new();
    for instant in instants {
        let event = Span::of(*instant);
        days.entry(date_of(zone, *instant)).and_modify(|span| span.absorb(&event)).or_insert(event);
    }
    days.into_values().collect()
}

/// The set of some instants, built one by one.
pub fn set_of(rule: Rule, instants: &[Instant]) -> SessionSet {
    let mut set = SessionSet::empty(rule);
    for instant in instants {
        set.add(*instant);
    }
    set
}

/// An instant written as people write it.
pub fn at(text: &str) -> Instant {
    let moment = DateTime::parse_from_rfc3339(text).expect("a test writes instants correctly");
    moment.timestamp_micros() - EPOCH_UNIX_SECONDS * SECOND
}

pub fn timeouts() -> impl Strategy<Value = Micros> {
    prop_oneof![Just(1), Just(2), Just(SECOND), Just(30 * MINUTE), Just(DAY), Just(366 * DAY), 1..=366 * DAY]
}

pub fn boundaries() -> impl Strategy<Value = Boundary> {
    prop_oneof![Just(Boundary::Exclusive), Just(Boundary::Inclusive)]
}

/// Instants whose gaps lie around the timeout, to the microsecond, in any order, also at both ends of time.
pub fn instants_around(timeout: Micros) -> impl Strategy<Value = Vec<Instant>> {
    let gap = prop_oneof![
        3 => Just(timeout),
        3 => Just(timeout - 1),
        3 => Just(timeout + 1),
        1 => Just(0),
        2 => 0..=timeout,
        1 => 0..=3 * timeout,
    ];
    let start = prop_oneof![Just(0), Just(EARLIEST), -1_000_000 * DAY..1_000_000 * DAY];
    let forwards = (start, prop::collection::vec(gap, 0..40), any::<bool>()).prop_map(|(start, gaps, at_the_end)| {
        let mut instant: Instant = start;
        let mut instants = vec![instant];
        for gap in gaps {
            instant += gap;
            instants.push(instant);
        }
        let shift = if at_the_end { i128::from(END_OF_TIME - 1) - i128::from(instant) } else { 0 };
        instants.iter().map(|instant| (i128::from(*instant) + shift) as Instant).collect::<Vec<_>>()
    });
    forwards.prop_shuffle()
}

/// Zones that have done something unusual at or around midnight, and when.
pub const UNUSUAL_NIGHTS: &[(Tz, &str)] = &[
    (Tz::Europe__Prague, "2024-03-31T00:00:00+01:00"),
    (Tz::Europe__Prague, "2024-10-27T00:00:00+02:00"),
    (Tz::America__Sao_Paulo, "2017-10-15T01:00:00-02:00"),
    (Tz::America__Sao_Paulo, "2018-02-18T00:00:00-03:00"),
    (Tz::America__Havana, "2024-11-03T00:00:00-04:00"),
    (Tz::America__Havana, "2024-03-10T01:00:00-04:00"),
    (Tz::America__St_Johns, "2006-10-29T00:00:00-02:30"),
    (Tz::Pacific__Apia, "2011-12-31T00:00:00+14:00"),
    (Tz::Pacific__Kwajalein, "1993-08-22T00:00:00+12:00"),
    (Tz::Asia__Amman, "2022-10-28T00:00:00+03:00"),
    (Tz::Africa__Monrovia, "1972-01-07T00:44:30+00:00"),
    (Tz::UTC, "2016-12-31T23:59:60Z"),
];

/// A zone and instants near one of its unusual nights, or anywhere.
pub fn nights() -> impl Strategy<Value = (Tz, Vec<Instant>)> {
    prop::sample::select(UNUSUAL_NIGHTS).prop_flat_map(|(zone, midnight)| {
        let midnight = at(midnight);
        let near = prop_oneof![
            4 => (-3 * HOUR..3 * HOUR).prop_map(move |distance| midnight + distance),
            2 => (-40..40i64).prop_map(move |quarters| midnight + quarters * HOUR / 4),
            2 => (-40..40i64).prop_map(move |quarters| midnight + quarters * HOUR / 4 - 1),
            2 => (-3 * DAY..3 * DAY).prop_map(move |distance| midnight + distance),
            1 => -40_000 * DAY..40_000 * DAY,
        ];
        (Just(zone), prop::collection::vec(near, 0..30))
    })
}

/// Any rule, with instants that try it.
pub fn cases() -> impl Strategy<Value = (Rule, Vec<Instant>)> {
    prop_oneof![
        (timeouts(), boundaries()).prop_flat_map(|(timeout, boundary)| {
            (Just(Rule::Timeout { timeout, boundary }), instants_around(timeout))
        }),
        nights().prop_map(|(zone, instants)| (Rule::Midnight { zone: zone.into() }, instants)),
    ]
}
