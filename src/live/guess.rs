//! What this connection remembers of visitors' sessions: only ever a guess, which settling checks.

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use std::cell::RefCell;

use sessionize_core::assignment::{App, Effect};
use sessionize_core::{Calendar, Instant, Span};

use super::by_session::BySession;
use crate::pg::sessions::RowAddress;

/// A visitor's latest session as it was when last seen.
#[derive(Debug, Clone, Copy)]
pub struct Guess {
    /// Its id.
    pub session: i64,
    /// Its earliest event.
    pub first: Instant,
    /// Its latest event.
    pub last: Instant,
    /// Where its row was, if that was seen.
    pub address: Option<RowAddress>,
}

impl Guess {
    /// Whether an event seems to belong to the session; if so, it is remembered as grown.
    pub fn takes(&mut self, app: &App, calendar: &mut Calendar, at: Instant, effect: Effect) -> bool {
        let mut span = Span { first: self.first, last: self.last, count: 1 };
        let event = Span::of(at);
        let joins = app.rule.joins(calendar, &span, &event) && (effect != Effect::Passive || at >= self.first);
        if joins && effect != Effect::Passive {
            span.absorb(&event);
            (self.first, self.last) = (span.first, span.last);
        }
        joins
    }
}

/// So many visitors make a generation; the memory is a few megabytes.
const GENERATION: usize = 1 << 16;

#[derive(Default)]
struct Visitors {
    of_apps: FxHashMap<i32, FxHashMap<CompactString, Guess>>,
    count: usize,
}

impl Visitors {
    fn get_mut(&mut self, app: i32, visitor: &str) -> Option<&mut Guess> {
        self.of_apps.get_mut(&app)?.get_mut(visitor)
    }

    fn insert(&mut self, app: i32, visitor: CompactString, guess: Guess) {
        self.count += usize::from(self.of_apps.entry(app).or_default().insert(visitor, guess).is_none());
    }

    fn remove(&mut self, app: i32, visitor: &str) -> Option<(CompactString, Guess)> {
        let removed = self.of_apps.get_mut(&app)?.remove_entry(visitor)?;
        self.count -= 1;
        Some(removed)
    }
}

/// Visitors that were not seen for a whole generation of others are forgotten.
#[derive(Default)]
struct Memory {
    young: Visitors,
    old: Visitors,
    drawn: BySession<Drawn>,
    unused: usize,
}

/// An id that was drawn for a session to be.
struct Drawn {
    is_used: bool,
    /// Whether nothing was found of its visitor.
    of_stranger: bool,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

impl Memory {
    fn insert(&mut self, app: i32, visitor: CompactString, guess: Guess) {
        if self.young.count >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(app, visitor, guess);
    }

    /// Makes a visitor of the last generation one of this.
    #[cold]
    fn recall(&mut self, app: i32, visitor: &str) -> Option<&mut Guess> {
        let (name, guess) = self.old.remove(app, visitor)?;
        self.insert(app, name, guess);
        self.young.get_mut(app, visitor)
    }

    fn unused(&mut self, session: i64) -> Option<&mut Drawn> {
        self.drawn.get_mut(session).filter(|drawn| !drawn.is_used)
    }
}

/// Looks at what is remembered of a visitor.
pub fn with<R>(app: i32, visitor: &str, look: impl FnOnce(Option<&mut Guess>) -> R) -> R {
    MEMORY.with_borrow_mut(|memory| match memory.young.get_mut(app, visitor) {
        None if memory.old.count > 0 => look(memory.recall(app, visitor)),
        known => look(known),
    })
}

/// Remembers a visitor's session.
pub fn remember(app: i32, visitor: &str, guess: Guess) {
    MEMORY.with_borrow_mut(|memory| match memory.young.get_mut(app, visitor) {
        Some(known) => *known = guess,
        None => {
            memory.old.remove(app, visitor);
            memory.insert(app, visitor.into(), guess);
        }
    });
}

/// Forgets a visitor.
pub fn forget(app: i32, visitor: &str) {
    MEMORY.with_borrow_mut(|memory| {
        memory.young.remove(app, visitor);
        memory.old.remove(app, visitor);
    });
}

/// Notes an id that was drawn for a session to be, and whether nothing was found of its visitor.
pub fn note_drawn(session: i64, of_stranger: bool) {
    MEMORY.with_borrow_mut(|memory| {
        memory.unused += usize::from(memory.unused(session).is_none());
        memory.drawn.insert(session, Drawn { is_used: false, of_stranger });
    });
}

/// Whether an id was drawn in this transaction, is still unused, and nothing was found of its visitor.
pub fn is_of_stranger(session: i64) -> bool {
    MEMORY.with_borrow_mut(|memory| memory.unused(session).is_some_and(|drawn| drawn.of_stranger))
}

/// Whether an id was drawn in this transaction and is still unused.
pub fn is_drawn(session: i64) -> bool {
    MEMORY.with_borrow_mut(|memory| memory.unused(session).is_some())
}

/// Whether an id was drawn in this transaction and is still unused; from now on it is not.
pub fn use_drawn(session: i64) -> bool {
    MEMORY.with_borrow_mut(|memory| {
        let was_unused = memory.unused(session).is_some_and(|drawn| !std::mem::replace(&mut drawn.is_used, true));
        memory.unused -= usize::from(was_unused);
        if memory.unused == 0 {
            memory.drawn = BySession::default();
        }
        was_unused
    })
}

/// Forgets ids that were drawn for rows that never went in.
pub fn forget_drawn() {
    MEMORY.with_borrow_mut(|memory| {
        memory.drawn = BySession::default();
        memory.unused = 0;
    });
}

/// Forgets everything: a transaction was rolled back, and with it sessions that may be remembered.
pub fn forget_all() {
    MEMORY.with_borrow_mut(|memory| *memory = Memory::default());
}
