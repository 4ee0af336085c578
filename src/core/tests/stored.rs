//! Stored sets: what is written is read back, and nothing else is accepted.

mod support;

use proptest::prelude::*;
use sessionize_core::encoding::{Reader, VERSION, decode, encode};
use sessionize_core::instant::{DAY, EARLIEST, END_OF_TIME};
use sessionize_core::packed::PackedSpan;
use sessionize_core::set::is_normal;
use sessionize_core::{Boundary, Error, Instant, Rule, SessionSet, Span, Zone, text};
use support::*;

fn bytes_of(set: &SessionSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(set.rule(), set.spans(), &mut bytes).unwrap();
    bytes
}

fn text_of(set: &SessionSet) -> String {
    let mut text = String::new();
    text::write(set.rule(), set.spans().iter().copied(), &mut text).unwrap();
    text
}

/// Whatever is accepted must be a set that could have been written.
fn assert_sound(set: &SessionSet) {
    let rule = set.rule();
    assert!(is_normal(rule, set.spans()), "{set:?}");
    assert!(set.spans().iter().all(|span| span.first >= EARLIEST && span.last < END_OF_TIME), "{set:?}");
    // Which day is whose is the zone's to say, and may have changed since a set was made.
    if matches!(rule, Rule::Timeout { .. }) {
        assert_eq!(SessionSet::from_spans(*rule, set.spans().to_vec()), *set);
    }
    assert_eq!(decode(&bytes_of(set)).as_ref(), Ok(set));
    assert_eq!(text::read(&text_of(set)).as_ref(), Ok(set));
}

proptest! {
    #[test]
    fn bytes_and_text_give_the_set_back((rule, instants) in cases()) {
        assert_sound(&set_of(rule, &instants));
    }

    #[test]
    fn the_reader_gives_the_spans((rule, instants) in cases()) {
        let set = set_of(rule, &instants);
        let bytes = bytes_of(&set);
        let reader = Reader::new(&bytes).unwrap();
        prop_assert_eq!(reader.rule(), rule);
        prop_assert_eq!(reader.remaining(), set.spans().len() as u64);
        prop_assert_eq!(reader.collect::<Result<Vec<Span>, _>>().unwrap(), set.spans());
    }

    #[test]
    fn truncated_bytes_are_refused((rule, instants) in cases(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&set_of(rule, &instants));
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn appended_bytes_are_refused((rule, instants) in cases(), extra in any::<u8>()) {
        let mut bytes = bytes_of(&set_of(rule, &instants));
        bytes.push(extra);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn changed_bytes_are_refused_or_mean_another_sound_set(
        (rule, instants) in cases(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut bytes = bytes_of(&set_of(rule, &instants));
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(set) = decode(&bytes) {
            assert_sound(&set);
        }
        // What storage has broken must not crash a reader that trusts it either.
        if let Ok(reader) = Reader::new(&bytes) {
            reader.take(1000).for_each(drop);
        }
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..60), tag in 0u8..4) {
        for bytes in [body.clone(), [vec![VERSION, tag], body].concat()] {
            if let Ok(set) = decode(&bytes) {
                assert_sound(&set);
            }
        }
    }

    #[test]
    fn random_spans_are_refused_or_sound(
        timeout in timeouts(), boundary in boundaries(), midnight in any::<bool>(),
        spans in prop::collection::vec((-5 * DAY..5 * DAY, -2..2 * DAY, 0u64..4), 0..5)
    ) {
        let rule = if midnight {
            Rule::Midnight { zone: Zone::parse("Europe/Prague").unwrap() }
        } else {
            Rule::Timeout { timeout, boundary }
        };
        let spans = spans.into_iter().map(|(first, duration, count)| Span { first, last: first + duration, count });
        let mut bytes = Vec::new();
        encode(&rule, &spans.collect::<Vec<_>>(), &mut bytes).unwrap();
        if let Ok(set) = decode(&bytes) {
            assert_sound(&set);
        }
    }

    #[test]
    fn changed_text_is_refused_or_means_another_sound_set(
        (rule, instants) in cases(), place in any::<prop::sample::Index>(), character in " -~"
    ) {
        let mut characters = text_of(&set_of(rule, &instants)).chars().collect::<Vec<_>>();
        let place = place.index(characters.len());
        characters.splice(place..=place, character.chars());
        if let Ok(set) = text::read(&characters.iter().collect::<String>()) {
            assert_sound(&set);
        }
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,60}") {
        prop_assert!(text::read(&text).is_err());
    }

    #[test]
    fn packed_spans_join_again(
        first in EARLIEST..END_OF_TIME, last in EARLIEST..END_OF_TIME, near in any::<bool>(),
        count in prop_oneof![2u64..10, Just(1 << 22), Just(1 << 24), Just(20_000_000), 2..=i64::MAX as u64],
        (rule, _) in cases().prop_filter("one day is one session", |(rule, _)| matches!(rule, Rule::Timeout { .. }))
    ) {
        let (first, last) = if near { (first, first.saturating_add(last.rem_euclid(20 * DAY))) } else { (first.min(last), first.max(last)) };
        let span = Span { first, last, count };
        let mut pieces = Vec::new();
        PackedSpan::pack_in_pieces(&span, |piece| pieces.push(PackedSpan::from_bytes(piece.to_bytes()).unpack()));
        prop_assert!(pieces.len() <= 8, "a span must stay small, {} pieces", pieces.len());
        pieces.reverse();
        let joined = SessionSet::from_spans(rule, pieces);
        prop_assert_eq!(joined.spans(), [span]);
        if let Some(packed) = PackedSpan::pack(&span) {
            prop_assert_eq!(packed.unpack(), span);
        }
    }
}

#[test]
fn short_spans_are_packed_in_one_piece() {
    for (duration, count) in [(0, 1), (12 * DAY, 1 << 20), ((1 << 40) - 1, (1 << 22) - 1)] {
        let span = Span { first: -5, last: -5 + duration, count };
        let mut pieces = 0;
        PackedSpan::pack_in_pieces(&span, |piece| {
            assert_eq!(piece.unpack(), span);
            pieces += 1;
        });
        assert_eq!(pieces, 1, "{span:?}");
    }
}

#[test]
fn bytes_stay_as_they_are_for_this_version() {
    let timeout = set_of(Rule::default(), &[0, 1, 3_600_000_000]);
    assert_eq!(bytes_of(&timeout), b"\x01\x00\x80\xa4\xa7\xda\x06\x02\x00\x01\x02\xfe\x8f\x9d\xe9\x1a\x00\x01");
    let midnight = set_of(Rule::Midnight { zone: Zone::default() }, &[-1]);
    assert_eq!(bytes_of(&midnight), b"\x01\x02\x03UTC\x01\x01\x00\x01");
}

#[test]
fn other_versions_are_named() {
    for version in [0, VERSION + 1, 255] {
        assert_eq!(decode(&[version, 0, 1, 0]), Err(Error::ForeignVersion(version.into())));
    }
    for version in [0, u64::from(VERSION) + 1, 256, u64::MAX] {
        for rest in [
            r#""policy":"midnight","time_zone":"UTC","sessions":[]"#,
            r#""policy":"midnight","time_zone":"UTC","sessions":[],"new":1"#,
            r#""policy":"weekly","sessions":{}"#,
        ] {
            let text = format!(r#"{{"version":{version},{rest}}}"#);
            assert_eq!(text::read(&text), Err(Error::ForeignVersion(version)));
        }
    }
}

/// Cairo had no summer time in 2023 until it did: what a day was then is none now.
#[test]
fn midnight_sets_of_other_zone_data_are_read() {
    let zone = Zone::parse("Africa/Cairo").unwrap();
    let day = Span { first: at("2023-04-30T22:00:00Z"), last: at("2023-05-01T21:59:00Z"), count: 50 };
    assert_ne!(
        Rule::Midnight { zone }.calendar().day_of(day.first),
        Rule::Midnight { zone }.calendar().day_of(day.last)
    );
    let mut bytes = Vec::new();
    encode(&Rule::Midnight { zone }, &[day], &mut bytes).unwrap();
    let set = decode(&bytes).unwrap();
    assert_eq!(set.spans(), [day]);
    assert_sound(&set);
}

#[test]
fn midnight_sessions_that_no_zone_can_have_are_refused() {
    let rule = Rule::Midnight { zone: Zone::default() };
    let accepted = |spans: &[(Instant, Instant, u64)]| {
        let spans: Vec<Span> = spans.iter().map(|&(first, last, count)| Span { first, last, count }).collect();
        let mut bytes = Vec::new();
        encode(&rule, &spans, &mut bytes).unwrap();
        decode(&bytes).is_ok()
    };
    assert!(accepted(&[(0, 3 * DAY - 1, 2)]) && !accepted(&[(0, 3 * DAY, 2)]));
    assert!(!accepted(&[(0, 1, 1)]));
    assert!(accepted(&[(DAY, DAY, 1), (1, 1, 1)]) && !accepted(&[(DAY, DAY, 1), (0, 0, 1)]));
}

#[test]
fn errors_do_not_repeat_endless_input() {
    let endless = "é".repeat(100_000);
    let problem = Zone::parse(&endless).unwrap_err();
    assert!(problem.to_string().len() < 1000 && problem.to_string().contains("é..."), "{problem}");
    let problem = text::read(&format!(r#"{{"{endless}":1}}"#)).unwrap_err();
    assert!(problem.detail().unwrap().len() < 1000, "{problem}");
}

#[test]
fn too_few_events_for_so_long_a_session_are_refused() {
    let rule = |boundary| Rule::timeout(10, boundary).unwrap();
    let accepted = |boundary, last, count| {
        let mut bytes = Vec::new();
        encode(&rule(boundary), &[Span { first: 0, last, count }], &mut bytes).unwrap();
        decode(&bytes).is_ok()
    };
    assert!(accepted(Boundary::Exclusive, 18, 3) && !accepted(Boundary::Exclusive, 19, 3));
    assert!(accepted(Boundary::Inclusive, 20, 3) && !accepted(Boundary::Inclusive, 21, 3));
}

#[test]
fn text_is_what_people_can_read() {
    let rule = Rule::default();
    let instants = [at("2026-01-02T03:04:05.678901Z"), at("2026-01-02T03:04:05Z")];
    assert_eq!(
        text_of(&set_of(rule, &instants)),
        r#"{"version":1,"policy":"timeout","timeout_microseconds":1800000000,"boundary":"exclusive","sessions":[{"started_at":"2026-01-02T03:04:05Z","last_event_at":"2026-01-02T03:04:05.678901Z","event_count":2}]}"#
    );
}

#[test]
fn years_that_rfc_3339_cannot_write_are_written_as_numbers() {
    for instant in [EARLIEST, at("0001-01-01T00:00:00Z") - 1, at("9999-12-31T23:59:59.999999Z") + 1, END_OF_TIME - 1] {
        let set = set_of(Rule::default(), &[instant]);
        assert!(text_of(&set).contains(&format!(r#""started_at":{instant},"#)), "{instant}");
        assert_sound(&set);
    }
    for instant in [at("0001-01-01T00:00:00Z"), at("9999-12-31T23:59:59.999999Z")] {
        let set = set_of(Rule::default(), &[instant]);
        assert!(text_of(&set).contains(r#""started_at":""#), "{instant}");
        assert_sound(&set);
    }
}

#[test]
fn text_that_is_no_set_is_refused() {
    let with_sessions = |sessions: &str| {
        format!(
            r#"{{"version":1,"policy":"timeout","timeout_microseconds":60000000,"boundary":"exclusive","sessions":[{sessions}]}}"#
        )
    };
    let session = |first: &str, last: &str, count: &str| {
        format!(r#"{{"started_at":{first},"last_event_at":{last},"event_count":{count}}}"#)
    };
    assert!(text::read(&with_sessions("")).is_ok());
    assert!(text::read(&with_sessions(&session("5", "5", "1"))).is_ok());
    let infinity = Instant::MAX.to_string();
    let minus_infinity = Instant::MIN.to_string();
    let end = END_OF_TIME.to_string();
    for sessions in [
        session("5", "4", "2"),
        session("5", "5", "0"),
        session("5", "6", "1"),
        session("5", "5", "-1"),
        session("5", "5", "9223372036854775808"),
        session("5", "5", "1.5"),
        session(&infinity, &infinity, "1"),
        session(&minus_infinity, &minus_infinity, "1"),
        session(&end, &end, "1"),
        session("\"yesterday\"", "5", "1"),
        session("null", "5", "1"),
        [session("5", "5", "1"), session("6", "6", "1")].join(","),
        [session("500000000", "500000000", "1"), session("6", "6", "1")].join(","),
        session("5", "5", "1").replace('}', r#","extra":1}"#),
    ] {
        assert!(text::read(&with_sessions(&sessions)).is_err(), "{sessions}");
    }
    let good = with_sessions("");
    for (from, to) in [
        ("timeout\"", "weekly\""),
        ("60000000", "0"),
        ("60000000", "99999999999999999"),
        ("exclusive", "sideways"),
        ("\"version\":1", "\"version\":\"1\""),
        ("\"sessions\"", "\"visits\""),
        ("\"sessions\"", "\"unknown\":1,\"sessions\""),
        ("]}", "]} trailing"),
        ("]}", "]"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(text::read(&bad).is_err(), "{bad}");
    }
}
