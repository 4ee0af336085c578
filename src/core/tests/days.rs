//! Local days: the calendar, which remembers, against the time library, which does not.

mod support;

use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use sessionize_core::calendar::LONGEST_DAY;
use sessionize_core::instant::{DAY, EARLIEST, END_OF_TIME, HOUR, MINUTE, SECOND};
use sessionize_core::{Calendar, Instant, Rule, Zone};
use support::*;

/// A small generator of random numbers whose sequence never changes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low) as u64) as i64
    }
}

const YEAR: i64 = 365 * DAY;

#[test]
fn every_zone_tells_the_days_of_the_time_library() {
    let mut random = Random(42);
    for zone in TZ_VARIANTS {
        let mut calendar = Calendar::new(Zone::from(zone));
        for _ in 0..50 {
            let instant = random.between(-150 * YEAR, 100 * YEAR);
            // Neighbours as well, so that stretches are found from both sides and then reused.
            for near in [instant, instant - DAY, instant + 3 * HOUR, instant + 90 * DAY] {
                assert_eq!(calendar.day_of(near), day_number(zone, near), "{} at {near}", zone.name());
            }
        }
    }
}

/// Finds the instants at which a zone changes its offset, by looking once per `step`.
fn changes(zone: Zone, from: Instant, until: Instant, step: i64) -> Vec<Instant> {
    let mut found = Vec::new();
    let mut instant = from;
    let mut offset = zone.offset_at(instant);
    while instant < until {
        let later = instant + step;
        let later_offset = zone.offset_at(later);
        if later_offset != offset {
            let (mut before, mut after) = (instant, later);
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if zone.offset_at(middle) == offset { before = middle } else { after = middle }
            }
            found.push(after);
            // A second change within the step would otherwise go unseen.
            instant = after;
            offset = zone.offset_at(after);
            continue;
        }
        instant = later;
    }
    found
}

#[test]
fn every_change_of_offset_is_found_to_the_microsecond() {
    for zone in TZ_VARIANTS {
        let changes = changes(Zone::from(zone), 0, 26 * YEAR, 7 * DAY);
        for order in [1, -1] {
            let mut calendar = Calendar::new(Zone::from(zone));
            for change in &changes {
                for distance in [-HOUR, -1, 0, 1, HOUR] {
                    let instant = change + distance * order;
                    assert_eq!(calendar.day_of(instant), day_number(zone, instant), "{} at {instant}", zone.name());
                }
            }
        }
    }
}

fn closest_changes(step: i64) -> i64 {
    let closest = |zones: &[Tz]| {
        zones
            .iter()
            .flat_map(|zone| {
                let changes = changes(Zone::from(*zone), -150 * YEAR, 100 * YEAR, step);
                changes.windows(2).map(|pair| pair[1] - pair[0]).min()
            })
            .min()
    };
    let (one, other) = TZ_VARIANTS.split_at(TZ_VARIANTS.len() / 2);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| closest(one));
        closest(other).min(one.join().unwrap()).expect("some zone changes twice")
    })
}

/// The calendar looks every six hours and would miss two changes in between.
#[test]
fn no_zone_changes_twice_within_six_hours() {
    assert!(closest_changes(2 * DAY) > 6 * HOUR);
}

/// The same without the chance that two changes within two days cancel each other. Takes minutes.
#[test]
#[ignore = "slow: cargo test --release -- --ignored, after an update of the time zone data"]
fn no_zone_changes_twice_within_six_hours_looking_closely() {
    assert!(closest_changes(HOUR) > 6 * HOUR);
}

#[test]
fn no_day_is_longer_than_the_longest() {
    let mut longest = 0;
    for zone in TZ_VARIANTS {
        let zone = Zone::from(zone);
        let mut calendar = Calendar::new(zone);
        let is_far = |change: &Instant| zone.offset_at(change - 1) - zone.offset_at(*change) > 12 * HOUR;
        for change in changes(zone, -200 * YEAR, 100 * YEAR, 30 * DAY).into_iter().filter(is_far) {
            let day = calendar.day_of(change);
            let hours = (-72..72).map(|hour| change + hour * HOUR);
            let hours: Vec<Instant> = hours.filter(|instant| calendar.day_of(*instant) == day).collect();
            longest = longest.max(hours[hours.len() - 1] - hours[0]);
        }
    }
    assert!((47 * HOUR..LONGEST_DAY - 2 * HOUR).contains(&longest), "{} hours", longest / HOUR);
}

#[test]
fn days_start_where_they_first_appear() {
    let start = |zone: Tz, date: &str| {
        let noon = at(&format!("{date}T12:00:00Z"));
        Calendar::new(Zone::from(zone)).start_of(noon.div_euclid(DAY))
    };
    // An ordinary day, and both changes of summer time, which leave midnight alone.
    assert_eq!(start(Tz::Europe__Prague, "2024-01-15"), at("2024-01-15T00:00:00+01:00"));
    assert_eq!(start(Tz::Europe__Prague, "2024-03-31"), at("2024-03-31T00:00:00+01:00"));
    assert_eq!(start(Tz::Europe__Prague, "2024-04-01"), at("2024-04-01T00:00:00+02:00"));
    assert_eq!(start(Tz::Europe__Prague, "2024-10-27"), at("2024-10-27T00:00:00+02:00"));
    assert_eq!(start(Tz::Europe__Prague, "2024-10-28"), at("2024-10-28T00:00:00+01:00"));
    // Midnight does not exist.
    assert_eq!(start(Tz::America__Sao_Paulo, "2017-10-15"), at("2017-10-15T01:00:00-02:00"));
    // Midnight comes twice, an hour apart: the day starts with the first.
    assert_eq!(start(Tz::America__Havana, "2024-11-03"), at("2024-11-03T00:00:00-04:00"));
    // One minute of the day, then an hour of the day before again.
    assert_eq!(start(Tz::America__St_Johns, "2006-10-29"), at("2006-10-29T00:00:00-02:30"));
    // The day does not exist: the next one starts.
    assert_eq!(start(Tz::Pacific__Apia, "2011-12-30"), at("2011-12-31T00:00:00+14:00"));
    assert_eq!(start(Tz::Pacific__Apia, "2011-12-31"), at("2011-12-31T00:00:00+14:00"));
}

#[test]
fn a_day_starts_at_its_earliest_instant_in_every_zone() {
    let mut random = Random(7);
    for zone in TZ_VARIANTS {
        let mut calendar = Calendar::new(Zone::from(zone));
        for change in changes(Zone::from(zone), -30 * YEAR, 40 * YEAR, 30 * DAY) {
            for neighbour in -1..=1 {
                let day = calendar.day_of(change) + neighbour;
                let start = calendar.start_of(day);
                assert!(calendar.day_of(start) >= day, "{} day {day}", zone.name());
                // Nothing in the two days before belongs to it: by minute close by, at random further off.
                let earlier = (1..=180).map(|minute| start - minute * MINUTE).chain([start - 1, start - SECOND]);
                let random = (0..20).map(|_| start - random.between(1, 2 * DAY)).collect::<Vec<_>>();
                for instant in earlier.chain(random) {
                    assert!(calendar.day_of(instant) < day, "{} day {day} at {instant}", zone.name());
                }
            }
        }
    }
}

#[test]
fn hours_that_repeat_across_midnight_make_one_session_per_date() {
    let spans = |zone: Tz, instants: &[&str]| -> Vec<(usize, u64)> {
        let instants = instants.iter().map(|text| at(text)).collect::<Vec<_>>();
        let set = set_of(Rule::Midnight { zone: zone.into() }, &instants);
        assert_eq!(set.spans(), naive_midnight(&instants, zone));
        set.spans().iter().map(|span| span.count).enumerate().collect()
    };
    // 28 Oct 23:30, 29 Oct 00:00:30, 28 Oct 23:01:30 again, 29 Oct 00:30.
    let st_johns = ["2006-10-29T02:00:00Z", "2006-10-29T02:30:30Z", "2006-10-29T02:31:30Z", "2006-10-29T04:00:00Z"];
    assert_eq!(spans(Tz::America__St_Johns, &st_johns), [(0, 2), (1, 2)]);
    // 14 Oct 23:59:59 and 15 Oct 01:00:00, one second apart.
    let sao_paulo = ["2017-10-15T02:59:59Z", "2017-10-15T03:00:00Z"];
    assert_eq!(spans(Tz::America__Sao_Paulo, &sao_paulo), [(0, 1), (1, 1)]);
    // 3 Nov 00:30 twice.
    let havana = ["2024-11-03T03:59:59Z", "2024-11-03T04:30:00Z", "2024-11-03T05:30:00Z"];
    assert_eq!(spans(Tz::America__Havana, &havana), [(0, 1), (1, 2)]);
    // 29 Dec 23:59:59 and 31 Dec 00:00:00, one second apart.
    let apia = ["2011-12-30T09:59:59Z", "2011-12-30T10:00:00Z"];
    assert_eq!(spans(Tz::Pacific__Apia, &apia), [(0, 1), (1, 1)]);
}

proptest! {
    #[test]
    fn no_instant_is_too_far_away(instant in any::<i64>(), zone in prop::sample::select(&TZ_VARIANTS[..])) {
        let mut calendar = Calendar::new(Zone::from(zone));
        let day = calendar.day_of(instant);
        prop_assert!((day - instant.div_euclid(DAY)).abs() <= 1);
        prop_assert_eq!(calendar.day_of(instant), day);
    }
}

#[test]
fn the_ends_of_time_have_days_too() {
    for zone in TZ_VARIANTS {
        let mut calendar = Calendar::new(Zone::from(zone));
        for instant in [Instant::MIN, EARLIEST, END_OF_TIME - 1, Instant::MAX] {
            let day = calendar.day_of(instant);
            let start = calendar.start_of(day);
            assert!(start <= instant || instant == Instant::MIN, "{} at {instant}", zone.name());
        }
    }
}

#[test]
fn zones_are_found_by_number() {
    for zone in TZ_VARIANTS {
        let zone = Zone::from(zone);
        assert_eq!(Zone::from_number(zone.number()), zone);
        assert_eq!(Zone::parse(zone.name()), Ok(zone));
        assert_eq!(Zone::parse(&zone.name().to_uppercase()), Ok(zone));
        assert!(zone.name().len() <= 255, "the encoding gives a name's length one byte");
    }
}
