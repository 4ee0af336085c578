//! What this connection remembers of visitors' sessions: only ever a guess, which settling checks.

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use std::cell::RefCell;

use sessionize_core::assignment::{App, Effect};
use sessionize_core::{Calendar, Instant, Span};

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

/// More visitors than these are not remembered at once; the memory is a few megabytes.
const MOST_VISITORS: usize = 1 << 16;

#[derive(Default)]
struct Memory {
    visitors: FxHashMap<i32, FxHashMap<CompactString, Guess>>,
    count: usize,
    drawn: FxHashMap<i64, bool>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Looks at what is remembered of a visitor.
pub fn with<R>(app: i32, visitor: &str, look: impl FnOnce(Option<&mut Guess>) -> R) -> R {
    MEMORY.with_borrow_mut(|memory| look(memory.visitors.get_mut(&app).and_then(|visitors| visitors.get_mut(visitor))))
}

/// Remembers a visitor's session.
pub fn remember(app: i32, visitor: &str, guess: Guess) {
    MEMORY.with_borrow_mut(|memory| {
        if memory.count >= MOST_VISITORS {
            memory.visitors.clear();
            memory.count = 0;
        }
        let visitors = memory.visitors.entry(app).or_default();
        if let Some(known) = visitors.get_mut(visitor) {
            *known = guess;
        } else {
            visitors.insert(visitor.into(), guess);
            memory.count += 1;
        }
    });
}

/// Forgets a visitor.
pub fn forget(app: i32, visitor: &str) {
    MEMORY.with_borrow_mut(|memory| {
        if memory.visitors.get_mut(&app).is_some_and(|visitors| visitors.remove(visitor).is_some()) {
            memory.count -= 1;
        }
    });
}

/// Notes an id that was drawn for a session to be, and whether nothing was found of its visitor.
pub fn note_drawn(session: i64, of_stranger: bool) {
    MEMORY.with_borrow_mut(|memory| memory.drawn.insert(session, of_stranger));
}

/// Whether an id was drawn in this transaction, is still unused, and nothing was found of its visitor.
pub fn is_of_stranger(session: i64) -> bool {
    MEMORY.with_borrow(|memory| memory.drawn.get(&session).copied().unwrap_or_default())
}

/// Whether an id was drawn in this transaction and is still unused.
pub fn is_drawn(session: i64) -> bool {
    MEMORY.with_borrow(|memory| memory.drawn.contains_key(&session))
}

/// Whether an id was drawn in this transaction and is still unused; from now on it is not.
pub fn use_drawn(session: i64) -> bool {
    MEMORY.with_borrow_mut(|memory| memory.drawn.remove(&session).is_some())
}

/// Forgets ids that were drawn for rows that never went in.
pub fn forget_drawn() {
    MEMORY.with_borrow_mut(|memory| memory.drawn.clear());
}

/// Forgets everything: a transaction was rolled back, and with it sessions that may be remembered.
pub fn forget_all() {
    MEMORY.with_borrow_mut(|memory| *memory = Memory::default());
}
