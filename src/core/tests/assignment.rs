//! Assignment of events as they arrive, against the session sets and against the rules read literally.

mod support;

use proptest::prelude::*;
use sessionize_core::assignment::{App, Effect, Event, History, REOPENABLE, Said, Session, State, Unassigned};
use sessionize_core::facts::{Fact, Facts};
use sessionize_core::instant::{DAY, EARLIEST, HOUR, LATEST, MINUTE};
use sessionize_core::{Boundary, Calendar, Instant, Micros, Rule, Span, Zone};
use support::*;

const T: Micros = 30 * MINUTE;

fn timeout_app(boundary: Boundary) -> App {
    App { rule: Rule::timeout(T, boundary).unwrap(), grace: 24 * HOUR, max_skew: DAY }
}

fn usual() -> App {
    timeout_app(Boundary::Exclusive)
}

fn event(at: Instant) -> Event {
    arriving(at, at)
}

fn arriving(at: Instant, arrival: Instant) -> Event {
    Event { at, arrival, effect: Effect::Qualifies, facts: None }
}

fn with(effect: Effect, at: Instant) -> Event {
    Event { effect, ..event(at) }
}

/// A history that draws ids 1, 2, 3, …
struct Desk {
    app: App,
    calendar: Calendar,
    history: History,
    next: i64,
}

impl Desk {
    fn new(app: App) -> Self {
        let calendar = app.rule.calendar();
        Desk { app, calendar, history: History::default(), next: 1 }
    }

    fn take(&mut self, event: &Event) -> Result<i64, Unassigned> {
        let next = &mut self.next;
        let fresh = || {
            *next += 1;
            *next - 1
        };
        self.history.assign(&self.app, &mut self.calendar, event, fresh)
    }

    fn finish(&mut self) {
        self.history.finish(&self.app, &mut self.calendar, |_| false);
    }

    fn sessions(&self) -> &[Session] {
        self.history.sessions()
    }

    fn spans(&self) -> Vec<Span> {
        self.sessions()
            .iter()
            .map(|session| Span { first: session.first, last: session.last, count: session.events as u64 })
            .collect()
    }

    /// What a session is called today.
    fn resolve(&self, id: i64) -> i64 {
        self.history.merged().iter().fold(id, |id, (absorbed, survivor)| if id == *absorbed { *survivor } else { id })
    }
}

/// A rule that an application can have, and instants close enough to each other that no session expires: all arrive at
/// one moment, shortly after the last of them.
fn in_time() -> impl Strategy<Value = (App, Vec<Instant>)> {
    let base = at("2024-03-30T13:00:00Z");
    let rule = prop_oneof![
        (prop_oneof![Just(MINUTE), Just(T), Just(3 * HOUR), Just(DAY)], boundaries())
            .prop_map(|(timeout, boundary)| Rule::Timeout { timeout, boundary }),
        prop_oneof![Just("Europe/Prague"), Just("UTC"), Just("Asia/Tokyo")]
            .prop_map(|name| Rule::Midnight { zone: Zone::parse(name).unwrap() }),
    ];
    rule.prop_flat_map(move |rule| {
        let timeout = match rule {
            Rule::Timeout { timeout, .. } => timeout,
            Rule::Midnight { .. } => T,
        };
        let step = prop_oneof![
            Just(0),
            Just(1),
            Just(timeout - 1),
            Just(timeout),
            Just(timeout + 1),
            Just(timeout / 2),
            0..2 * timeout
        ];
        let instants = prop::collection::vec(step, 0..25).prop_map(move |steps| {
            let walk = steps.iter().scan(0, |at, step| {
                *at = (*at + step) % (20 * HOUR);
                Some(base + *at)
            });
            walk.collect::<Vec<_>>()
        });
        (Just(App { rule, grace: 24 * HOUR, max_skew: DAY }), instants.prop_shuffle())
    })
}

#[test]
fn closing_and_expiry_can_be_written_at_both_ends_of_time() {
    let zone = |name| Rule::Midnight { zone: Zone::parse(name).unwrap() };
    let rules = [usual().rule, zone("UTC"), zone("Asia/Tokyo"), zone("America/Sao_Paulo")];
    for (rule, first) in
        rules.into_iter().flat_map(|rule| [EARLIEST, LATEST - MINUTE, LATEST].map(|first| (rule, first)))
    {
        let mut desk = Desk::new(App { rule, ..usual() });
        desk.take(&event(first)).unwrap();
        desk.finish();
        let session = &desk.sessions()[0];
        let instants = [session.opened_at, session.closes_at, session.expires_at];
        assert!(instants.iter().all(|at| (EARLIEST..=LATEST).contains(at)), "{rule} {session:?}");
    }
}

#[test]
fn a_day_that_was_lived_twice_is_one_session() {
    let rule = Rule::Midnight { zone: Zone::parse("Pacific/Kwajalein").unwrap() };
    let (first, last) = (at("1969-09-29T13:30:00Z"), at("1969-10-01T11:30:00Z"));
    for instants in [[first, last], [last, first]] {
        let mut desk = Desk::new(App { rule, ..usual() });
        for at in instants {
            desk.take(&arriving(at, last)).unwrap();
        }
        desk.finish();
        assert_eq!(desk.spans(), set_of(rule, &instants).spans());
        assert_eq!(desk.spans().len(), 1);
    }
}

#[test]
fn an_interval_holds_how_much_later_a_session_was_opened() {
    for boundary in [Boundary::Exclusive, Boundary::Inclusive] {
        let mut desk = Desk::new(timeout_app(boundary));
        desk.take(&arriving(EARLIEST, LATEST)).unwrap();
        desk.take(&arriving(0, LATEST)).unwrap();
        for session in desk.sessions() {
            assert!(session.opened_at.checked_sub(session.first).is_some(), "{session:?}");
            assert!(session.closes_at >= session.opened_at);
        }
        assert_eq!(desk.sessions()[1].opened_at, LATEST);
    }
}

proptest! {
    #[test]
    fn order_does_not_matter((app, instants) in in_time()) {
        let arrival = instants.iter().max().copied().unwrap_or(0);
        let mut desk = Desk::new(app.clone());
        let given: Vec<i64> = instants.iter().map(|at| desk.take(&arriving(*at, arrival)).unwrap()).collect();
        let set = set_of(app.rule, &instants);
        prop_assert_eq!(desk.spans(), set.spans());
        for (at, id) in instants.iter().zip(given) {
            let id = desk.resolve(id);
            let session = desk.sessions().iter().find(|session| session.id == id);
            prop_assert!(session.is_some_and(|session| (session.first..=session.last).contains(at)));
        }
    }

    #[test]
    fn sessions_know_their_successors((app, instants) in in_time()) {
        let arrival = instants.iter().max().copied().unwrap_or(0);
        let mut desk = Desk::new(app);
        for at in &instants {
            desk.take(&arriving(*at, arrival)).unwrap();
        }
        desk.finish();
        let count = desk.sessions().len();
        let firsts: Vec<Instant> = desk.sessions().iter().skip(1).map(|session| session.first).chain([Instant::MAX]).take(count).collect();
        let nexts: Vec<Instant> = desk.sessions().iter().map(|session| session.next_first).collect();
        prop_assert_eq!(nexts, firsts);
    }

    /// Sessions that are filled one after the other and then taken in are those that assigning each event makes.
    #[test]
    fn adopting_is_what_assigning_would_do(
        (app, mut instants) in in_time(), in_order in any::<bool>(), grace in prop_oneof![Just(0), Just(HOUR), Just(24 * HOUR)], before in 0..3_usize,
        delay in prop_oneof![Just(0), 0..72 * HOUR], effects in prop::collection::vec(0..12_u8, 25)
    ) {
        let app = App { grace, ..app };
        if in_order {
            instants.sort_unstable();
        }
        let arrival = instants.iter().max().copied().unwrap_or(0) + delay;
        let effect = |number: u8| match number {
            0 => Effect::Cancels,
            1 => Effect::Converts,
            2 => Effect::Passive,
            _ => Effect::Qualifies,
        };
        let events: Vec<Event> = instants.iter().zip(effects)
            .map(|(at, number)| Event { effect: effect(number), ..arriving(*at, arrival) }).collect();
        let (known, new) = events.split_at(before.min(events.len()));
        let mut desk = Desk::new(app.clone());
        for event in known {
            let _ = desk.take(event);
        }
        desk.finish();
        let mut adopting = Desk { app: app.clone(), calendar: app.rule.calendar(), history: desk.history.clone(), next: desk.next };

        // As a statement does it: each event goes to the session that was begun last, or begins another one.
        let mut filled: Vec<Session> = Vec::new();
        let mut assigned = Vec::new();
        for event in new {
            let follows = filled.last_mut().is_some_and(|session| session.follow(&app, &mut adopting.calendar, event));
            if !follows {
                let Some(session) = Session::begun_by(&app, &mut adopting.calendar, event, adopting.next) else { return Ok(()) };
                filled.push(session);
                adopting.next += 1;
            }
            assigned.push(filled.last().unwrap().id);
        }
        let Some(adopted) = adopting.history.clone().adopt(&app, &mut adopting.calendar, filled) else { return Ok(()) };
        adopting.history = adopted;
        let one_by_one: Vec<i64> = new.iter().map(|event| desk.take(event).unwrap_or(-1)).collect();
        prop_assert_eq!(one_by_one, assigned);
        desk.finish();
        adopting.finish();
        prop_assert_eq!(desk.sessions(), adopting.sessions());
    }

    /// What one session's row says is enough: events that extend it would be given to it, and to no other, by the whole history.
    #[test]
    fn extending_is_what_assigning_would_do((app, instants) in in_time(), added in prop::collection::vec(0..20 * HOUR, 1..4), near in any::<bool>()) {
        let arrival = instants.iter().max().copied().unwrap_or(0) + MINUTE;
        let mut desk = Desk::new(app.clone());
        for at in &instants {
            desk.take(&arriving(*at, arrival)).unwrap();
        }
        desk.finish();
        for session in desk.sessions() {
            let mut added: Vec<Instant> = added.iter().map(|offset| if near { session.last + offset % (T + 2) } else { session.first + offset }).collect();
            added.sort_unstable();
            let extended = app.extends(&mut desk.calendar.clone(), session, added.iter().copied());
            let mut whole = Desk { app: app.clone(), calendar: app.rule.calendar(), history: desk.history.clone(), next: 1000 };
            let ids: Vec<i64> = added.iter().map(|at| whole.take(&arriving(*at, arrival)).unwrap()).collect();
            let alone = ids.iter().all(|id| *id == session.id) && whole.history.merged().len() == desk.history.merged().len()
                && whole.sessions().iter().any(|now| now.id == session.id && now.first == session.first);
            prop_assert_eq!(extended.is_some(), alone);
            if let Some(last) = extended {
                let grown = whole.sessions().iter().find(|now| now.id == session.id).unwrap();
                prop_assert_eq!(grown.last, last);
                let events: Vec<Event> = added.iter().map(|at| arriving(*at, arrival)).collect();
                let mut expected = grown.clone();
                whole.finish();
                expected.next_first = session.next_first;
                prop_assert_eq!(app.grow(&mut desk.calendar.clone(), session, &events), Some(expected));
            }
        }
    }

    #[test]
    fn closing_and_expiry_follow_the_rule_and_never_move_backwards(
        boundary in boundaries(), grace in 0..=24 * HOUR,
        arrivals in prop::collection::vec((0..6 * HOUR, 0..72 * HOUR), 1..15)
    ) {
        let mut desk = Desk::new(App { grace, ..timeout_app(boundary) });
        let mut before: Vec<Session> = Vec::new();
        for (at, delay) in arrivals {
            let id = desk.take(&arriving(at, at + delay)).unwrap();
            for session in desk.sessions() {
                prop_assert!(session.closes_at >= session.last + T && session.closes_at >= session.opened_at);
                prop_assert!(session.expires_at <= session.last.max(session.opened_at) + REOPENABLE);
                prop_assert!(session.expires_at <= session.closes_at + grace);
                prop_assert!(session.expires_at >= (session.closes_at + grace).min(session.last + REOPENABLE));
                if let Some(earlier) = before.iter().find(|earlier| earlier.id == session.id) {
                    prop_assert!(session.closes_at >= earlier.closes_at && session.expires_at >= earlier.expires_at);
                }
            }
            // Whoever had expired by then took nothing.
            for earlier in before.iter().filter(|earlier| earlier.state(&desk.app, at + delay) == State::Expired) {
                prop_assert!(desk.resolve(earlier.id) != id);
                prop_assert!(desk.sessions().contains(earlier));
            }
            before = desk.sessions().to_vec();
        }
    }
}

#[test]
fn an_event_between_two_sessions_makes_them_one() {
    let mut desk = Desk::new(usual());
    assert_eq!(desk.take(&event(100 * MINUTE)), Ok(1));
    assert_eq!(desk.take(&event(50 * MINUTE)), Ok(2));
    assert_eq!(desk.take(&with(Effect::Converts, 101 * MINUTE)), Ok(1));
    assert_eq!(desk.take(&event(75 * MINUTE)), Ok(2), "the session that started first survives");
    assert_eq!(desk.history.merged(), [(1, 2)]);
    let [session] = desk.sessions() else { panic!("one session") };
    assert_eq!((session.first, session.last, session.events), (50 * MINUTE, 101 * MINUTE, 4));
    assert_eq!(session.converted_at, Some(101 * MINUTE));
    assert_eq!(session.late, 2, "those at 50 and 75 minutes came after later ones");
}

#[test]
fn of_sessions_that_start_together_the_lowest_id_survives() {
    let app = usual();
    let mut desk = Desk::new(app.clone());
    desk.take(&event(0)).unwrap();
    let twin = Session { id: 7, ..desk.sessions()[0].clone() };
    let mut history = History::new(vec![twin, desk.sessions()[0].clone()]);
    assert_eq!(history.assign(&app, &mut desk.calendar, &event(1), || 9), Ok(1));
    assert_eq!(history.merged(), [(7, 1)]);
}

#[test]
fn the_gap_decides_to_the_microsecond() {
    for (boundary, gap, sessions) in [
        (Boundary::Exclusive, T - 1, 1),
        (Boundary::Exclusive, T, 2),
        (Boundary::Inclusive, T, 1),
        (Boundary::Inclusive, T + 1, 2),
    ] {
        for instants in [[0, gap], [gap, 0]] {
            let mut desk = Desk::new(timeout_app(boundary));
            for at in instants {
                desk.take(&arriving(at, gap)).unwrap();
            }
            assert_eq!(desk.sessions().len(), sessions, "{boundary:?}, {gap}");
        }
    }
}

#[test]
fn a_late_event_joins_until_its_session_expires() {
    let expiry = T + 24 * HOUR;
    for (arrival, id) in [(expiry - 1, 1), (expiry, 2)] {
        let mut desk = Desk::new(usual());
        desk.take(&event(0)).unwrap();
        assert_eq!(desk.sessions()[0].expires_at, expiry);
        assert_eq!(desk.take(&arriving(MINUTE, arrival)), Ok(id));
    }
}

#[test]
fn what_opens_beside_an_expired_session_stays_beside_it() {
    let mut desk = Desk::new(usual());
    desk.take(&event(0)).unwrap();
    assert_eq!(desk.take(&arriving(MINUTE, 3 * DAY)), Ok(2));
    assert_eq!(desk.take(&arriving(2 * MINUTE, 3 * DAY + HOUR)), Ok(2));
    desk.finish();
    let nexts: Vec<Instant> = desk.sessions().iter().map(|session| session.next_first).collect();
    assert_eq!(nexts, [Instant::MIN, Instant::MIN], "neither row alone can tell whose an event is");
    let session = desk.sessions()[1].clone();
    assert_eq!(desk.app.extends(&mut desk.calendar, &session, [3 * MINUTE].into_iter()), None);
}

#[test]
fn a_visit_synced_days_later_is_closed_and_still_collects() {
    let mut desk = Desk::new(usual());
    desk.take(&arriving(0, 5 * DAY)).unwrap();
    let session = &desk.sessions()[0];
    assert_eq!((session.closes_at, session.expires_at), (5 * DAY, 6 * DAY));
    assert_eq!(desk.take(&arriving(20 * MINUTE, 6 * DAY - 1)), Ok(1));
    assert_eq!(desk.take(&arriving(21 * MINUTE, 6 * DAY)), Ok(2));
}

#[test]
fn without_grace_the_boundary_decides_about_the_instant_of_closing() {
    for (boundary, sessions) in [(Boundary::Exclusive, 2), (Boundary::Inclusive, 1)] {
        let mut desk = Desk::new(App { grace: 0, ..timeout_app(boundary) });
        desk.take(&event(0)).unwrap();
        desk.take(&arriving(MINUTE, T)).unwrap();
        assert_eq!(desk.sessions().len(), sessions, "{boundary:?}");
    }
}

#[test]
fn nothing_is_reopened_after_48_hours() {
    let app = App { rule: Rule::timeout(DAY, Boundary::Inclusive).unwrap(), grace: 24 * HOUR, max_skew: DAY };
    let mut desk = Desk::new(app);
    // The opening arrives a little before the session would close: 48 hours count from it, not from the closing.
    desk.take(&arriving(0, 23 * HOUR)).unwrap();
    let session = &desk.sessions()[0];
    assert_eq!((session.closes_at, session.expires_at), (DAY, 2 * DAY));
}

#[test]
fn passive_events_join_what_is_there_and_change_nothing() {
    let mut desk = Desk::new(usual());
    assert_eq!(desk.take(&with(Effect::Passive, 0)), Err(Unassigned::Passive));
    desk.take(&event(0)).unwrap();
    let before = desk.sessions()[0].clone();
    assert_eq!(desk.take(&with(Effect::Passive, -1)), Err(Unassigned::Passive));
    assert_eq!(desk.take(&with(Effect::Passive, 0)), Ok(1));
    assert_eq!(desk.take(&with(Effect::Passive, T - 1)), Ok(1));
    assert_eq!(desk.take(&with(Effect::Passive, T)), Err(Unassigned::Passive));
    assert_eq!(desk.sessions(), [Session { passive: 2, ..before }]);
    assert_eq!(desk.take(&event(T)), Ok(2), "a heartbeat extends nothing");
}

#[test]
fn passive_events_belong_to_their_day() {
    let mut desk = Desk::new(App { rule: Rule::Midnight { zone: Zone::parse("UTC").unwrap() }, ..usual() });
    desk.take(&event(12 * HOUR)).unwrap();
    assert_eq!(desk.take(&with(Effect::Passive, HOUR)), Ok(1));
    assert_eq!(desk.take(&with(Effect::Passive, DAY - 1)), Ok(1));
    assert_eq!(desk.take(&with(Effect::Passive, DAY)), Err(Unassigned::Passive));
    assert_eq!(desk.sessions()[0].first, 12 * HOUR);
}

#[test]
fn a_cancelled_session_takes_no_more() {
    let mut desk = Desk::new(usual());
    assert_eq!(desk.take(&event(0)), Ok(1));
    assert_eq!(desk.take(&with(Effect::Cancels, MINUTE)), Ok(1));
    assert_eq!(desk.take(&event(2 * MINUTE)), Ok(2));
    assert_eq!(desk.take(&with(Effect::Passive, 2 * MINUTE)), Ok(2));
    assert_eq!(desk.take(&event(0)), Ok(2));
    desk.finish();
    let open = desk.sessions().iter().find(|session| session.id == 2).unwrap();
    assert_eq!(open.next_first, Instant::MAX, "a cancelled session is no neighbour");
    assert_eq!(desk.sessions().iter().map(|session| session.cancelled_at).collect::<Vec<_>>(), [Some(MINUTE), None]);
}

#[test]
fn a_converted_session_goes_on_and_is_not_cancelled_by_an_event() {
    let mut desk = Desk::new(usual());
    desk.take(&event(0)).unwrap();
    desk.take(&with(Effect::Converts, 20 * MINUTE)).unwrap();
    desk.take(&with(Effect::Converts, 10 * MINUTE)).unwrap();
    assert_eq!(desk.take(&with(Effect::Cancels, 25 * MINUTE)), Ok(1));
    assert_eq!(desk.take(&event(45 * MINUTE)), Ok(1));
    let session = &desk.sessions()[0];
    assert_eq!((session.converted_at, session.cancelled_at), (Some(10 * MINUTE), None));
}

#[test]
fn late_events_are_counted_once() {
    let mut desk = Desk::new(usual());
    for at in [0, 0, 10, 5, 2 * HOUR, 20, -2 * HOUR] {
        desk.take(&arriving(at, 3 * HOUR)).unwrap();
    }
    let late: Vec<(Instant, i64)> = desk.sessions().iter().map(|session| (session.first, session.late)).collect();
    assert_eq!(late, [(-2 * HOUR, 1), (0, 2), (2 * HOUR, 0)]);
}

#[test]
fn events_that_cannot_have_a_session_are_refused_with_the_reason() {
    let app = usual();
    assert_eq!(app.admits(None, 0), Err(Unassigned::NoInstant));
    assert_eq!(app.admits(Some(Instant::MAX), 0), Err(Unassigned::NoInstant));
    assert_eq!(app.admits(Some(Instant::MIN), 0), Err(Unassigned::NoInstant));
    assert_eq!(app.admits(Some(DAY), 0), Ok(DAY));
    assert_eq!(app.admits(Some(DAY + 1), 0), Err(Unassigned::AheadOfTime));
    let names = [Unassigned::NoVisitor, Unassigned::NoInstant, Unassigned::AheadOfTime, Unassigned::Passive]
        .map(Unassigned::name);
    assert_eq!(names, ["no_visitor", "no_instant", "ahead_of_time", "passive"]);
}

#[test]
fn what_was_read_as_a_neighbour_keeps_what_it_knew() {
    let app = usual();
    let mut desk = Desk::new(app.clone());
    desk.take(&event(0)).unwrap();
    let mut known = desk.sessions()[0].clone();
    known.next_first = 5 * HOUR;
    let mut history = History::new(vec![known]);
    history.finish(&app, &mut desk.calendar, |session| session.first >= 0);
    assert_eq!(history.sessions()[0].next_first, 5 * HOUR);
    history.finish(&app, &mut desk.calendar, |_| false);
    assert_eq!(history.sessions()[0].next_first, Instant::MAX);
}

fn fact(place: usize, at: Instant, value: &str) -> Option<Box<Facts>> {
    let mut facts = Facts::default();
    facts[place] = Some(Fact { at, value: value.into() });
    Some(Box::new(facts))
}

fn value(session: &Session, place: usize) -> Option<&str> {
    session.facts.as_ref()?[place].as_ref().map(|fact| &*fact.value)
}

#[test]
fn what_people_said_stands_beside_what_events_say() {
    const CUSTOMER: usize = 0;
    let mut desk = Desk::new(usual());
    desk.take(&Event { facts: fact(CUSTOMER, 0, "event"), ..event(0) }).unwrap();
    let read_again = desk.sessions()[0].clone();
    let hears = |said: Said| {
        let mut session = read_again.clone();
        session.hear(&said);
        session
    };
    assert_eq!(hears(Said::default()), read_again);
    assert_eq!(hears(Said { converted_at: Some(MINUTE), ..Said::default() }).converted_at, Some(MINUTE));
    assert_eq!(hears(Said { cancelled_at: Some(MINUTE), ..Said::default() }).cancelled_at, Some(MINUTE));
    let says = |at, word| Said { facts: fact(CUSTOMER, at, word), ..Said::default() };
    assert_eq!(value(&hears(says(1, "person")), CUSTOMER), Some("person"));
    assert_eq!(value(&hears(says(-1, "person")), CUSTOMER), Some("event"), "a later event says more");
    assert_eq!(hears(says(1, "")).facts, None, "nobody is a word, too");

    let by_event = Session { converted_at: Some(2), cancelled_at: Some(3), ..read_again.clone() };
    let mut session = by_event.clone();
    session.hear(&Said { converted_at: Some(1), ..Said::default() });
    assert_eq!((session.converted_at, session.cancelled_at), (Some(1), None), "what people converted no event cancels");
    let app = usual();
    let before = Session { opened_at: DAY, late: 7, events: 9, ..by_event };
    let mut session = read_again.clone();
    session.carry_over(&app, &mut desk.calendar, &before, None);
    assert_eq!((session.opened_at, session.late, session.closes_at), (DAY, 7, DAY), "when it was opened stays");
    assert_eq!((session.converted_at, session.cancelled_at, session.events), (None, None, 1), "what events said goes");
}
