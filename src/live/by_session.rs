//! Values by session.

/// Values of sessions, in order of the sessions' ids.
#[derive(Debug)]
pub struct BySession<T> {
    entries: Vec<(i64, T)>,
}

impl<T> Default for BySession<T> {
    fn default() -> Self {
        BySession { entries: Vec::new() }
    }
}

impl<T> BySession<T> {
    /// Whether a session has a greater id than all that are here.
    pub fn is_latest(&self, session: i64) -> bool {
        self.entries.last().is_none_or(|(last, _)| *last < session)
    }

    /// Adds a session, which costs little where it is the latest; one that is here already gets the new value.
    pub fn insert(&mut self, session: i64, value: T) {
        if self.is_latest(session) {
            return self.entries.push((session, value));
        }
        match self.entries.binary_search_by_key(&session, |(known, _)| *known) {
            Ok(place) => self.entries[place].1 = value,
            Err(place) => self.entries.insert(place, (session, value)),
        }
    }

    /// The value of a session.
    pub fn get(&self, session: i64) -> Option<&T> {
        self.place(session).map(|place| &self.entries[place].1)
    }

    /// The value of a session, to be changed.
    pub fn get_mut(&mut self, session: i64) -> Option<&mut T> {
        self.place(session).map(|place| &mut self.entries[place].1)
    }

    /// Ids are drawn one after the other, mostly by one statement alone: then their distance is that of their places.
    fn place(&self, session: i64) -> Option<usize> {
        let distance = session.checked_sub(self.entries.first()?.0)?;
        let likely = usize::try_from(distance).ok()?;
        if self.entries.get(likely).is_some_and(|(known, _)| *known == session) {
            return Some(likely);
        }
        self.entries.binary_search_by_key(&session, |(known, _)| *known).ok()
    }
}
