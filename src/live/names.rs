//! Which of the sessions that are worked out again is which of those before.

use rustc_hash::{FxHashMap, FxHashSet};

use super::guess;
use super::settings::own_tables;
use crate::pg::transaction;

/// How sessions that are worked out again come to their ids: each takes that of the earliest of its rows that lay in a
/// session before, if no other has taken it yet, and a new one where there is none.
pub struct Names {
    /// Those that no session has taken.
    pub unclaimed: FxHashSet<i64>,
    /// Those that were drawn for rows which carry them, but of which no session is there yet.
    spare: FxHashSet<i64>,
    claimed: FxHashMap<i64, i64>,
    last: i64,
}

impl Names {
    /// The id of no session.
    pub const NONE: i64 = 0;

    /// The ids that are there to be taken: those of sessions, and those that rows carry.
    pub fn new(unclaimed: FxHashSet<i64>, carried: impl Iterator<Item = i64>) -> Self {
        let spare = carried.filter(|id| guess::is_drawn(*id)).collect();
        Names { unclaimed, spare, claimed: FxHashMap::default(), last: Self::NONE }
    }

    /// What a session is called until it has an id.
    pub fn provisional(&mut self) -> i64 {
        self.last -= 1;
        self.last
    }

    /// Lets a session have an id that no other has; says whether it took it.
    pub fn claim(&mut self, session: i64, id: i64) -> bool {
        !self.claimed.contains_key(&session) && (self.unclaimed.remove(&id) || self.spare.remove(&id)) && {
            self.claimed.insert(session, id);
            true
        }
    }

    /// The id of a session, a new one at last.
    pub fn of(&mut self, session: i64) -> i64 {
        if session > Self::NONE {
            return session;
        }
        *self.claimed.entry(session).or_insert_with(|| {
            let id = transaction::next_number(own_tables().session_ids);
            guess::note_drawn(id, false);
            id
        })
    }
}
