//! Which session an event that arrives belongs to: the rule that triggers, backfill and rebuilding share.

use crate::calendar::{Calendar, LONGEST_DAY};
use crate::facts::{Facts, absorb};
use crate::instant::{HOUR, Instant, LATEST, Micros, is_finite};
use crate::rule::{Boundary, Rule};
use crate::span::Span;

/// How long after its latest event a session can be reopened at most.
pub const REOPENABLE: Micros = 48 * HOUR;

/// The most bytes that the name of a visitor can have: it is indexed. Whoever has a longer one counts as nobody.
pub const LONGEST_VISITOR: usize = 1000;

/// The rules of an application.
#[derive(Debug, Clone)]
pub struct App {
    /// Which events belong together.
    pub rule: Rule,
    /// How long a closed session takes late events.
    pub grace: Micros,
    /// How far ahead of its arrival an event may lie.
    pub max_skew: Micros,
}

/// An event as it arrives.
#[derive(Debug, Clone)]
pub struct Event {
    /// When it happened.
    pub at: Instant,
    /// When the database learned of it.
    pub arrival: Instant,
    /// What its kind does.
    pub effect: Effect,
    /// What it says about its session.
    pub facts: Option<Box<Facts>>,
}

/// What the kind of an event does to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    /// Starts and extends sessions.
    #[default]
    Qualifies,
    /// Joins a session that is there, and changes nothing about it.
    Passive,
    /// Qualifies, and converts the session.
    Converts,
    /// Qualifies, and cancels the session.
    Cancels,
}

/// Why an event has no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unassigned {
    /// Nobody is named as its visitor, or by a name longer than [`LONGEST_VISITOR`].
    NoVisitor,
    /// It has no instant, or an infinite one.
    NoInstant,
    /// It lies further ahead of its arrival than clocks may differ.
    AheadOfTime,
    /// It is passive, and there is no session around it.
    Passive,
}

impl Unassigned {
    /// The name under which such events are counted.
    pub fn name(self) -> &'static str {
        match self {
            Unassigned::NoVisitor => "no_visitor",
            Unassigned::NoInstant => "no_instant",
            Unassigned::AheadOfTime => "ahead_of_time",
            Unassigned::Passive => "passive",
        }
    }
}

/// A session that can take events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: i64,
    /// The earliest qualifying event.
    pub first: Instant,
    /// The latest qualifying event.
    pub last: Instant,
    /// Until then it is active.
    pub closes_at: Instant,
    /// Until then it takes late events.
    pub expires_at: Instant,
    /// When the event that opened it arrived.
    pub opened_at: Instant,
    /// When the visitor's next session begins: see [`History::finish`].
    pub next_first: Instant,
    /// Qualifying events.
    pub events: i64,
    /// Passive events.
    pub passive: i64,
    /// Events that arrived after later ones.
    pub late: i64,
    /// When it was converted.
    pub converted_at: Option<Instant>,
    /// When it was cancelled.
    pub cancelled_at: Option<Instant>,
    /// What its events say.
    pub facts: Option<Box<Facts>>,
}

/// What people said of a session, besides what its events say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// When they converted it.
    pub converted_at: Option<Instant>,
    /// When they cancelled it.
    pub cancelled_at: Option<Instant>,
    /// Its customer and its cart; an empty value says that there is none.
    pub facts: Option<Box<Facts>>,
}

impl Session {
    fn span(&self) -> Span {
        Span { first: self.first, last: self.last, count: 1 }
    }

    /// The state of the session at an instant.
    pub fn state(&self, app: &App, at: Instant) -> State {
        let is_active = match app.boundary() {
            Boundary::Exclusive => at < self.closes_at,
            Boundary::Inclusive => at <= self.closes_at,
        };
        match () {
            _ if is_active => State::Active,
            _ if at < self.expires_at => State::Closed,
            _ => State::Expired,
        }
    }

    /// The status of the session at an instant: what happened to it wins over its state. sessionize.session_status() says the
    /// same of stored sessions.
    pub fn status(&self, app: &App, at: Instant) -> &'static str {
        match (self.cancelled_at, self.converted_at) {
            (Some(_), _) => "cancelled",
            (None, Some(_)) => "converted",
            (None, None) => self.state(app, at).name(),
        }
    }

    /// Whether the session still takes an event that arrives at an instant.
    pub fn takes_at(&self, app: &App, arrival: Instant) -> bool {
        self.cancelled_at.is_none() && self.state(app, arrival) != State::Expired
    }

    /// A session that begins with an event.
    fn opened_by(event: &Event, id: i64) -> Session {
        Session {
            id,
            first: event.at,
            last: event.at,
            closes_at: Instant::MIN,
            expires_at: Instant::MIN,
            opened_at: event.arrival,
            next_first: Instant::MAX,
            events: 0,
            passive: 0,
            late: 0,
            converted_at: None,
            cancelled_at: None,
            facts: None,
        }
    }

    /// The session that an event opens where the visitor has no other one near; none where it opens none, or one that
    /// would take nothing more that arrives with the event. What follows is [`Session::follow`]ed; in the end
    /// [`History::adopt`] says whether that was all.
    pub fn begun_by(app: &App, calendar: &mut Calendar, event: &Event, id: i64) -> Option<Session> {
        if event.effect == Effect::Passive {
            return None;
        }
        let mut session = Session::opened_by(event, id);
        session.take(app, calendar, event, false);
        session.takes_at(app, event.arrival).then_some(session)
    }

    /// Takes one more event if it belongs to the session, as far as that alone tells; says whether it did.
    pub fn follow(&mut self, app: &App, calendar: &mut Calendar, event: &Event) -> bool {
        let follows = self.is_joined_by(app, calendar, event);
        match event.effect {
            Effect::Passive if follows => self.passive += 1,
            _ if follows => self.take(app, calendar, event, false),
            _ => {}
        }
        follows
    }

    /// Whether an event lies near enough, and arrives early enough.
    fn is_joined_by(&self, app: &App, calendar: &mut Calendar, event: &Event) -> bool {
        let near = match event.effect {
            Effect::Passive => app.surrounds(calendar, self, event.at),
            _ => app.rule.joins(calendar, &self.span(), &Span::of(event.at)),
        };
        near && self.takes_at(app, event.arrival)
    }

    /// Adds a qualifying event. `overtaken` says whether a later session of the visitor is known besides the next one.
    fn take(&mut self, app: &App, calendar: &mut Calendar, event: &Event, overtaken: bool) {
        let next_is_later = self.next_first != Instant::MAX && self.next_first > event.at;
        self.late += i64::from(event.at < self.last || overtaken || next_is_later);
        self.events += 1;
        self.last = self.last.max(event.at);
        self.first = self.first.min(event.at);
        match event.effect {
            Effect::Converts if self.converted_at.is_none_or(|at| event.at < at) => self.converted_at = Some(event.at),
            Effect::Cancels if self.converted_at.is_none() => self.cancelled_at = Some(event.at),
            _ => {}
        }
        absorb(&mut self.facts, &event.facts);
        self.reschedule(app, calendar);
    }

    /// Takes over what a session was before its events were read again, besides what these say.
    pub fn carry_over(&mut self, app: &App, calendar: &mut Calendar, before: &Session, said: Option<&Said>) {
        self.opened_at = before.opened_at;
        self.late = before.late;
        self.next_first = before.next_first;
        if let Some(said) = said {
            self.hear(said);
        }
        self.reschedule(app, calendar);
    }

    /// Takes in what people said of the session, or of one that became part of it. What they cancelled or converted is
    /// so whatever events say; a converted session cannot be cancelled.
    pub fn hear(&mut self, said: &Said) {
        self.converted_at = self.converted_at.into_iter().chain(said.converted_at).min();
        self.cancelled_at = said.cancelled_at.or(self.cancelled_at).filter(|_| said.converted_at.is_none());
        absorb(&mut self.facts, &said.facts);
        if let Some(facts) = &mut self.facts {
            // Nothing is what a person says, too: for example, that there is no customer.
            facts.iter_mut().for_each(|fact| *fact = fact.take().filter(|fact| !fact.value.is_empty()));
        }
        self.facts = self.facts.take().filter(|facts| facts.iter().any(Option::is_some));
    }

    /// Moves closing and expiry to where the latest event and the opening put them; never backwards, and never to where
    /// PostgreSQL could not read them again.
    fn reschedule(&mut self, app: &App, calendar: &mut Calendar) {
        let ends = match app.rule {
            Rule::Timeout { timeout, .. } => self.last.saturating_add(timeout),
            Rule::Midnight { .. } => {
                let day = calendar.day_of(self.last);
                calendar.start_of(day + 1)
            }
        };
        self.closes_at = self.closes_at.max(ends).max(self.opened_at).min(LATEST);
        let latest = self.last.max(self.opened_at).saturating_add(REOPENABLE).min(LATEST);
        self.expires_at = self.expires_at.max(self.closes_at.saturating_add(app.grace).min(latest));
    }
}

impl App {
    /// Whether an event can belong to a session at all.
    pub fn admits(&self, at: Option<Instant>, arrival: Instant) -> Result<Instant, Unassigned> {
        let at = at.filter(|at| is_finite(*at)).ok_or(Unassigned::NoInstant)?;
        if at > arrival.saturating_add(self.max_skew) { Err(Unassigned::AheadOfTime) } else { Ok(at) }
    }

    /// Whether a session is still active at the very instant at which it closes.
    pub fn boundary(&self) -> Boundary {
        match self.rule {
            Rule::Timeout { boundary, .. } => boundary,
            Rule::Midnight { .. } => Boundary::Exclusive,
        }
    }

    /// How far from a session's events another event of it can lie at most.
    pub fn reach(&self) -> Micros {
        match self.rule {
            Rule::Timeout { timeout, boundary } => Rule::reach(timeout, boundary),
            Rule::Midnight { .. } => LONGEST_DAY,
        }
    }

    /// Whether a passive event lies inside a session: from its start until it would close.
    fn surrounds(&self, calendar: &mut Calendar, session: &Session, at: Instant) -> bool {
        match self.rule {
            Rule::Timeout { timeout, boundary } => {
                at >= session.first && at.saturating_sub(session.last) <= Rule::reach(timeout, boundary)
            }
            Rule::Midnight { .. } => calendar.day_of(at) == calendar.day_of(session.first),
        }
    }

    /// The session after events that belong to it and to no other, in the common case of one growing session; none where
    /// it takes more to decide. The events must be in order, and either all qualify or be a single passive one.
    pub fn grow(&self, calendar: &mut Calendar, session: &Session, events: &[Event]) -> Option<Session> {
        let fits = match events {
            [event] if event.effect == Effect::Passive => {
                let within = event.at.clamp(session.first, session.last);
                self.extends(calendar, session, [within].into_iter()).is_some()
            }
            _ => {
                events.iter().all(|event| event.effect == Effect::Qualifies)
                    && self.extends(calendar, session, events.iter().map(|event| event.at)).is_some()
            }
        };
        let mut grown = session.clone();
        let takes = |event: &Event| event.facts.is_none() && grown.follow(self, calendar, event);
        (fits && events.iter().all(takes)).then_some(grown)
    }

    /// Whether events that fall within a session, or follow it closely, belong to it and to no other: what the common
    /// case of one growing session asks. `instants` are in order. Gives the session's new last event.
    pub fn extends(
        &self,
        calendar: &mut Calendar,
        session: &Session,
        instants: impl Iterator<Item = Instant>,
    ) -> Option<Instant> {
        let mut last = session.last;
        for at in instants {
            let reached = Span { first: session.first, last, count: 1 };
            if at < session.first || !self.rule.joins(calendar, &reached, &Span::of(at)) {
                return None;
            }
            last = last.max(at);
        }
        let next_is_far = session.next_first == Instant::MAX
            || session.next_first != Instant::MIN
                && !self.rule.joins(calendar, &Span { last, ..session.span() }, &Span::of(session.next_first));
        next_is_far.then_some(last)
    }
}

/// The part of a visitor's sessions that some events may concern.
#[derive(Debug, Clone, Default)]
pub struct History {
    sessions: Vec<Session>,
    merged: Vec<(i64, i64)>,
    lasts_in_order: bool,
}

impl History {
    /// A history of sessions in any order.
    pub fn new(mut sessions: Vec<Session>) -> Self {
        sessions.sort_by_key(|session| (session.first, session.id));
        let lasts_in_order = sessions.is_sorted_by_key(|session| session.last);
        History { sessions, merged: Vec::new(), lasts_in_order }
    }

    /// The sessions, in order of their first events.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The sessions, to be changed without moving them.
    pub fn sessions_mut(&mut self) -> &mut [Session] {
        &mut self.sessions
    }

    /// The sessions alone.
    pub fn into_sessions(self) -> Vec<Session> {
        self.sessions
    }

    /// Which sessions became part of which, in the order in which it happened.
    pub fn merged(&self) -> &[(i64, i64)] {
        &self.merged
    }

    /// The places of the sessions that an event can join, earliest first.
    fn candidates(&self, app: &App, calendar: &mut Calendar, event: &Event) -> Vec<usize> {
        let reach = app.reach();
        let end = self.sessions.partition_point(|session| session.first <= event.at.saturating_add(reach));
        let mut places = Vec::new();
        for (place, session) in self.sessions[..end].iter().enumerate().rev() {
            if session.last < event.at.saturating_sub(reach) {
                if self.lasts_in_order {
                    break;
                }
                continue;
            }
            if session.is_joined_by(app, calendar, event) {
                places.push(place);
            }
        }
        places.reverse();
        places
    }

    /// Takes in sessions, in the order in which they were opened, whose events all arrived after those of the others. That is
    /// what assigning them one by one comes to where each lies after those before it and near none; elsewhere there is
    /// nothing to take them in.
    pub fn adopt(mut self, app: &App, calendar: &mut Calendar, mut opened: Vec<Session>) -> Option<Self> {
        let known = self.sessions.len();
        if known == 0 {
            self.sessions = opened; // where they are: most visitors of a load are new
        } else {
            self.sessions.append(&mut opened);
        }
        for place in known..self.sessions.len() {
            let span = self.sessions[place].span();
            let comes_after =
                |other: &Session| other.first < span.first && !app.rule.joins(calendar, &other.span(), &span);
            if !self.sessions[..place].iter().all(comes_after) {
                return None;
            }
            self.check_order(place);
        }
        Some(self)
    }

    /// Assigns an event, and gives the id of its session. `fresh` gives the id of a new one.
    pub fn assign(
        &mut self,
        app: &App,
        calendar: &mut Calendar,
        event: &Event,
        fresh: impl FnOnce() -> i64,
    ) -> Result<i64, Unassigned> {
        let candidates = self.candidates(app, calendar, event);
        if event.effect == Effect::Passive {
            let place = *candidates.last().ok_or(Unassigned::Passive)?;
            self.sessions[place].passive += 1;
            return Ok(self.sessions[place].id);
        }
        let place = match candidates.split_first() {
            None => self.open(event, fresh()),
            Some((survivor, absorbed)) => {
                for place in absorbed.iter().rev() {
                    self.absorb(*survivor, *place);
                }
                *survivor
            }
        };
        Ok(self.take(app, calendar, place, event))
    }

    /// Makes room for a session that begins with an event.
    fn open(&mut self, event: &Event, id: i64) -> usize {
        let place = self.sessions.partition_point(|session| (session.first, session.id) < (event.at, id));
        self.sessions.insert(place, Session::opened_by(event, id));
        place
    }

    /// Makes a later session part of an earlier one.
    fn absorb(&mut self, survivor: usize, absorbed: usize) {
        let gone = self.sessions.remove(absorbed);
        let kept = &mut self.sessions[survivor];
        self.merged.push((gone.id, kept.id));
        kept.last = kept.last.max(gone.last);
        kept.closes_at = kept.closes_at.max(gone.closes_at);
        kept.expires_at = kept.expires_at.max(gone.expires_at);
        kept.opened_at = kept.opened_at.max(gone.opened_at);
        kept.events += gone.events;
        kept.passive += gone.passive;
        kept.late += gone.late;
        kept.converted_at = kept.converted_at.into_iter().chain(gone.converted_at).min();
        absorb(&mut kept.facts, &gone.facts);
        self.check_order(survivor);
    }

    /// Adds an event to the session at a place, and gives its id.
    fn take(&mut self, app: &App, calendar: &mut Calendar, place: usize, event: &Event) -> i64 {
        let later_session = self.sessions.last().is_some_and(|session| session.first > event.at);
        let session = &mut self.sessions[place];
        let began = session.first;
        session.take(app, calendar, event, later_session);
        let (id, first) = (session.id, session.first);
        let mut place = place;
        if first < began {
            let session = self.sessions.remove(place);
            place = self.sessions.partition_point(|other| (other.first, other.id) < (first, id));
            self.sessions.insert(place, session);
        }
        self.check_order(place);
        id
    }

    /// Notes whether the latest events are still in the order of the first ones around a place.
    fn check_order(&mut self, place: usize) {
        let around = &self.sessions[place.saturating_sub(1)..(place + 2).min(self.sessions.len())];
        self.lasts_in_order &= around.is_sorted_by_key(|session| session.last);
    }

    /// Writes into each session when the next one begins, so that it alone tells whether an event is its own: ∞ for the
    /// latest, −∞ where another session lies so near that an event could belong to either. The last session keeps what it
    /// had if `successor_known` says that it was only read as the neighbour of the others.
    pub fn finish(&mut self, app: &App, calendar: &mut Calendar, successor_known: impl Fn(&Session) -> bool) {
        let mut latest_before: Option<Span> = None;
        let mut next_open = None;
        let mut nexts = vec![None; self.sessions.len()];
        for (place, session) in self.sessions.iter().enumerate().rev() {
            nexts[place] = next_open;
            if session.cancelled_at.is_none() {
                next_open = Some(place);
            }
        }
        for (place, next) in nexts.into_iter().enumerate() {
            if self.sessions[place].cancelled_at.is_some() {
                continue;
            }
            let span = self.sessions[place].span();
            let next = next.map(|next: usize| self.sessions[next].span());
            let beside = latest_before.iter().chain(&next).any(|other| app.rule.joins(calendar, other, &span));
            let session = &mut self.sessions[place];
            session.next_first = match next {
                _ if beside => Instant::MIN,
                Some(next) => next.first,
                None if successor_known(session) => session.next_first,
                None => Instant::MAX,
            };
            // Of all sessions before, the one that reaches furthest is the one that can lie beside the next.
            latest_before = latest_before.filter(|latest| latest.last > span.last).or(Some(span));
        }
    }
}

/// Whether a session is active, closed or expired at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It takes events as they happen.
    Active,
    /// It takes late events.
    Closed,
    /// It takes nothing.
    Expired,
}

impl State {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Closed => "closed",
            State::Expired => "expired",
        }
    }
}
