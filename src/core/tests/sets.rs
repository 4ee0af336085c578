//! Session sets against the naive implementation, and the laws that make order irrelevant.

mod support;

use proptest::prelude::*;
use sessionize_core::calendar::Calendars;
use sessionize_core::instant::{EARLIEST, END_OF_TIME, MINUTE};
use sessionize_core::rule::{DEFAULT_TIMEOUT, LONGEST_TIMEOUT};
use sessionize_core::set::{self, Totals};
use sessionize_core::{Boundary, Error, Instant, Rule, SessionSet, Span, Zone};
use support::*;

fn totals(set: &SessionSet) -> Totals {
    set.spans().iter().copied().collect()
}

fn session_at(set: &SessionSet, instant: Instant) -> Option<(usize, Span)> {
    set::session_at(set.rule(), set.spans().iter().copied(), instant)
}

proptest! {
    #[test]
    fn timeout_sets_are_what_sorting_and_scanning_gives(
        (timeout, boundary, instants) in (timeouts(), boundaries())
            .prop_flat_map(|(timeout, boundary)| (Just(timeout), Just(boundary), instants_around(timeout)))
    ) {
        let set = set_of(Rule::timeout(timeout, boundary).unwrap(), &instants);
        prop_assert_eq!(set.spans(), naive_timeout(&instants, timeout, boundary));
    }

    #[test]
    fn midnight_sets_are_what_grouping_by_date_gives((zone, instants) in nights()) {
        let set = set_of(Rule::Midnight { zone: zone.into() }, &instants);
        prop_assert_eq!(set.spans(), naive_midnight(&instants, zone));
    }

    #[test]
    fn order_does_not_matter(
        (rule, instants, shuffled) in cases()
            .prop_flat_map(|(rule, instants)| (Just(rule), Just(instants.clone()), Just(instants).prop_shuffle()))
    ) {
        prop_assert_eq!(set_of(rule, &instants), set_of(rule, &shuffled));
    }

    #[test]
    fn merging_parts_equals_adding_all((rule, instants) in cases(), parts in prop::collection::vec(0usize..4, 40)) {
        let mut sets = vec![SessionSet::empty(rule); 4];
        for (place, instant) in instants.iter().enumerate() {
            sets[parts[place % parts.len()]].add(*instant);
        }
        let mut merged = SessionSet::empty(rule);
        for set in &sets {
            merged.merge(set).unwrap();
        }
        prop_assert_eq!(merged, set_of(rule, &instants));
    }

    #[test]
    fn merge_is_commutative_and_associative_and_has_an_identity(
        (rule, instants) in cases(), first in 0usize..41, second in 0usize..41
    ) {
        let (first, second) = (first.min(second).min(instants.len()), first.max(second).min(instants.len()));
        let one = set_of(rule, &instants[..first]);
        let two = set_of(rule, &instants[first..second]);
        let three = set_of(rule, &instants[second..]);
        let merge = |left: &SessionSet, right: &SessionSet| {
            let mut result = left.clone();
            result.merge(right).unwrap();
            result
        };
        prop_assert_eq!(merge(&one, &two), merge(&two, &one));
        prop_assert_eq!(merge(&merge(&one, &two), &three), merge(&one, &merge(&two, &three)));
        prop_assert_eq!(merge(&one, &SessionSet::empty(rule)), one.clone());
        prop_assert_eq!(merge(&SessionSet::empty(rule), &one), one);
    }

    #[test]
    fn counts_and_durations_add_up((rule, instants) in cases()) {
        let set = set_of(rule, &instants);
        let spans = set.spans();
        let set = totals(&set);
        prop_assert_eq!(set.event_count(), instants.len() as u64);
        prop_assert_eq!(set.total_duration(), spans.iter().map(|span| span.last - span.first).sum::<i64>());
        let singles = spans.iter().filter(|span| span.count == 1).count();
        prop_assert_eq!(set.bounce_rate(), (!spans.is_empty()).then(|| singles as f64 / spans.len() as f64));
        let mean = set.average_duration().map(|mean| mean as f64);
        let expected = (!spans.is_empty()).then(|| set.total_duration() as f64 / spans.len() as f64);
        prop_assert_eq!(mean.is_some(), expected.is_some());
        if let (Some(mean), Some(expected)) = (mean, expected) {
            prop_assert!((mean - expected).abs() <= 0.5 + expected * 1e-12, "{mean} is not {expected}");
        }
    }

    #[test]
    fn session_at_finds_every_event_and_nothing_between(
        (timeout, instants) in timeouts().prop_flat_map(|timeout| (Just(timeout), instants_around(timeout)))
    ) {
        let set = set_of(Rule::timeout(timeout, Boundary::Exclusive).unwrap(), &instants);
        for instant in &instants {
            let (number, span) = session_at(&set, *instant).expect("an event is in a session");
            prop_assert!(span.covers(*instant));
            prop_assert_eq!(set.spans()[number - 1], span);
        }
        for pair in set.spans().windows(2).filter(|pair| pair[1].first - pair[0].last > 1) {
            prop_assert_eq!(session_at(&set, pair[0].last + 1), None);
            prop_assert_eq!(session_at(&set, pair[1].first - 1), None);
        }
    }

    #[test]
    fn session_at_finds_the_day_of_every_event((zone, instants) in nights()) {
        let set = set_of(Rule::Midnight { zone: zone.into() }, &instants);
        let mut calendar = set.rule().calendar();
        for instant in &instants {
            let (number, span) = session_at(&set, *instant).expect("an event is in a session");
            prop_assert_eq!(set.spans()[number - 1], span);
            prop_assert_eq!(calendar.day_of(span.first), calendar.day_of(*instant));
        }
    }

    #[test]
    fn packed_rules_unpack_to_themselves((rule, _) in cases()) {
        prop_assert_eq!(Rule::unpack(rule.pack()), rule);
    }
}

#[test]
fn equal_gaps_fall_on_the_side_of_the_boundary() {
    let spans = |boundary, gap| set_of(Rule::timeout(DEFAULT_TIMEOUT, boundary).unwrap(), &[0, gap]).spans().len();
    let timeout = DEFAULT_TIMEOUT;
    assert_eq!([timeout - 1, timeout, timeout + 1].map(|gap| spans(Boundary::Exclusive, gap)), [1, 2, 2]);
    assert_eq!([timeout - 1, timeout, timeout + 1].map(|gap| spans(Boundary::Inclusive, gap)), [1, 1, 2]);
}

#[test]
fn the_shortest_timeout_keeps_equal_instants_together() {
    let instants = [7, 7, 8, 9, 9];
    let counts = |boundary| -> Vec<u64> {
        set_of(Rule::timeout(1, boundary).unwrap(), &instants).spans().iter().map(|span| span.count).collect()
    };
    assert_eq!(counts(Boundary::Exclusive), [2, 1, 2]);
    assert_eq!(counts(Boundary::Inclusive), [5]);
}

/// The example of the specification: 23:27, 23:28, 23:29, 23:59, 00:00, 00:01.
#[test]
fn worked_example() {
    let instants = [-33, -32, -31, -1, 0, 1].map(|minute: Instant| minute * MINUTE);
    let counts = |rule: Rule| -> Vec<u64> { set_of(rule, &instants).spans().iter().map(|span| span.count).collect() };
    assert_eq!(counts(Rule::default()), [3, 3]);
    assert_eq!(counts(Rule::Midnight { zone: Zone::default() }), [4, 2]);
}

/// On 29 October 2006, one minute after midnight, St. John's went back to 23:01: both days have events after the other's.
#[test]
fn days_that_overlap_have_their_own_events() {
    let rule = Rule::Midnight { zone: Zone::parse("America/St_Johns").unwrap() };
    let [noon, after_midnight, again_before, noon_after] =
        ["2006-10-28T12:00:00Z", "2006-10-29T02:30:30Z", "2006-10-29T03:00:00Z", "2006-10-29T12:00:00Z"].map(at);
    let set = set_of(rule, &[noon, after_midnight, again_before, noon_after]);
    let numbers = [noon, after_midnight, again_before, noon_after, again_before + 1, after_midnight - 1];
    assert_eq!(
        numbers.map(|instant| session_at(&set, instant).map(|(number, _)| number)),
        [1, 2, 1, 2, 2, 1].map(Some)
    );
}

#[test]
fn zones_by_turns_keep_what_their_calendars_know() {
    let zones = ["UTC", "Europe/Prague", "America/St_Johns"].map(|name| Zone::parse(name).unwrap());
    let mut calendars = Calendars::new(Zone::default());
    let mut known = || {
        zones.map(|zone| {
            calendars.follow(zone);
            assert_eq!(calendars.current.zone(), zone);
            let before = format!("{:?}", calendars.current);
            calendars.current.day_of(0);
            (before, format!("{:?}", calendars.current))
        })
    };
    let first_time = known();
    for ((_, learnt), (remembered, _)) in first_time.iter().zip(known()) {
        assert_eq!(*learnt, remembered);
    }
}

#[test]
fn infinite_instants_are_skipped() {
    for rule in [Rule::default(), Rule::Midnight { zone: Zone::default() }] {
        assert_eq!(set_of(rule, &[Instant::MIN, Instant::MAX, 5, Instant::MIN]), set_of(rule, &[5]));
    }
}

#[test]
fn both_ends_of_time_fit_into_one_set() {
    let ends = [END_OF_TIME - 1, EARLIEST, END_OF_TIME - 1, EARLIEST];
    for rule in [Rule::timeout(LONGEST_TIMEOUT, Boundary::Inclusive).unwrap(), Rule::Midnight { zone: Zone::default() }]
    {
        let set = set_of(rule, &ends);
        assert_eq!(set.spans().iter().map(|span| span.count).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(session_at(&set, EARLIEST).map(|(number, _)| number), Some(1));
        assert_eq!(session_at(&set, END_OF_TIME - 1).map(|(number, _)| number), Some(2));
        assert_eq!(session_at(&set, 0), None);
    }
}

#[test]
fn the_longest_possible_spans_do_not_overflow() {
    let whole = Span { first: EARLIEST, last: END_OF_TIME - 1, count: u64::MAX / 2 };
    let rule = Rule::default();
    let mut set = SessionSet::from_spans(rule, vec![whole]);
    set.merge(&set.clone()).unwrap();
    set.merge(&set.clone()).unwrap();
    assert_eq!(set.spans().len(), 1);
    let set = totals(&set);
    assert_eq!(set.event_count(), i64::MAX as u64, "counts stop at PostgreSQL's largest bigint");
    assert_eq!(set.total_duration(), i64::MAX);
    assert_eq!(set.average_duration(), Some(i64::MAX));
}

#[test]
fn timeouts_out_of_range_are_refused() {
    for timeout in [i64::MIN, -1, 0, LONGEST_TIMEOUT + 1, i64::MAX] {
        assert!(matches!(Rule::timeout(timeout, Boundary::Exclusive), Err(Error::TimeoutOutOfRange(_))), "{timeout}");
    }
    assert!(Rule::timeout(LONGEST_TIMEOUT, Boundary::Exclusive).is_ok());
}

#[test]
fn names_are_read_in_any_case_and_others_refused() {
    assert_eq!(Boundary::parse("Inclusive"), Ok(Boundary::Inclusive));
    assert_eq!(Boundary::parse("EXCLUSIVE"), Ok(Boundary::Exclusive));
    assert_eq!(Boundary::parse("inclusive "), Err(Error::UnknownBoundary("inclusive ".to_owned())));
    assert_eq!(Zone::parse("europe/PRAGUE").map(|zone| zone.name()), Ok("Europe/Prague"));
    for unknown in ["", "Mars/Olympus", "Europe/Prague ", "+02:00", "Europe"] {
        assert_eq!(Zone::parse(unknown), Err(Error::UnknownZone(unknown.to_owned())));
    }
}

#[test]
fn sets_of_different_rules_do_not_merge() {
    let midnight = |name| Rule::Midnight { zone: Zone::parse(name).unwrap() };
    let rules = [
        Rule::default(),
        Rule::timeout(DEFAULT_TIMEOUT, Boundary::Inclusive).unwrap(),
        Rule::timeout(DEFAULT_TIMEOUT + 1, Boundary::Exclusive).unwrap(),
        midnight("UTC"),
        midnight("Europe/Prague"),
    ];
    for (place, one) in rules.iter().enumerate() {
        for other in &rules[place + 1..] {
            let mut set = SessionSet::empty(*one);
            let Err(problem) = set.merge(&SessionSet::empty(*other)) else { panic!("{one} merged with {other}") };
            let detail = problem.detail().unwrap();
            assert!(detail.contains(&one.to_string()) && detail.contains(&other.to_string()), "{detail}");
            assert_ne!(one.to_string(), other.to_string());
        }
    }
}
