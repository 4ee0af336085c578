//! The state of one visitor inside an aggregate, 64 bytes for a visitor with one session.
//!
//! The session that the latest event fell into stands in front; the ones before it are logged in
//! chunks, 16 bytes each. Events in order of time only append, and events in any other order only
//! append too: the log is brought in order when it is full and when it is read.

use sessionize_core::instant::Instant;
use sessionize_core::packed::PackedSpan;
use sessionize_core::set::normalize;
use sessionize_core::{Calendar, Rule, Span};

use super::memory::Arena;

/// One visitor's sessions. Lives in an [`Arena`] and is only ever reached through [`SessionLog`].
#[repr(C)]
struct State {
    front: Span,
    rule: u64,
    newest: *mut Chunk,
    inline: PackedSpan,
    logged: u32,
    in_order: bool,
}

const _: () = assert!(size_of::<State>() == 64);

/// Logged sessions; `capacity` of them follow the head in memory.
#[repr(C)]
struct Chunk {
    older: *mut Chunk,
    used: u32,
    capacity: u32,
}

/// Half a gigabyte, under PostgreSQL's limit for one allocation. Chunks grow with the log until then: a log that is
/// brought in order once per chunk must not be so once per so many sessions.
const LARGEST_CHUNK: u32 = 1 << 25;

impl Chunk {
    /// # Safety
    /// `chunk` must be a live chunk and `index` below its capacity.
    unsafe fn slot(chunk: *mut Chunk, index: u32) -> *mut PackedSpan {
        // SAFETY: the slots follow the head.
        unsafe { chunk.add(1).cast::<PackedSpan>().add(index as usize) }
    }
}

/// A handle to one visitor's state during one call.
pub struct SessionLog<'a> {
    state: &'a mut State,
}

/// A visitor's state between calls: what PostgreSQL keeps as `internal`.
pub type Handle = *mut std::ffi::c_void;

impl<'a> SessionLog<'a> {
    /// The state of a visitor without events.
    pub fn create(arena: &mut Arena, rule: &Rule) -> Self {
        let nothing = Span { first: 0, last: 0, count: 0 };
        let state = arena.take(size_of::<State>()).cast::<State>();
        let empty = State {
            front: nothing,
            rule: rule.pack(),
            newest: std::ptr::null_mut(),
            inline: PackedSpan::pack(&nothing).expect("nothing fits"),
            logged: 0,
            in_order: true,
        };
        // SAFETY: the arena gave room for a state, aligned to 8; nothing else refers to it.
        unsafe {
            state.write(empty);
            SessionLog { state: &mut *state }
        }
    }

    /// The state behind a handle that [`SessionLog::handle`] gave in the same aggregate; none for null.
    #[inline]
    pub fn open(handle: Handle) -> Option<Self> {
        // SAFETY: PostgreSQL passes back the pointer unchanged, one call at a time, and only to functions over
        // `internal`, which SQL cannot forge.
        unsafe { handle.cast::<State>().as_mut() }.map(|state| SessionLog { state })
    }

    /// The handle to keep between calls.
    #[inline]
    pub fn handle(self) -> Handle {
        std::ptr::from_mut(self.state).cast()
    }

    /// The visitor's rule, packed.
    #[inline]
    pub fn packed_rule(&self) -> u64 {
        self.state.rule
    }

    /// The visitor's rule.
    pub fn rule(&self) -> Rule {
        Rule::unpack(self.state.rule)
    }

    /// Whether an instant falls into the session in front; if so, it has joined it.
    #[inline]
    pub fn extend(&mut self, rule: &Rule, calendar: &mut Calendar, instant: Instant) -> bool {
        let event = Span::of(instant);
        let joins = self.state.front.count > 0 && rule.joins(calendar, &self.state.front, &event);
        if joins {
            self.absorb(&event);
        }
        joins
    }

    /// Takes events into the session in front. Growing backwards may bring it to one in the log.
    #[inline]
    fn absorb(&mut self, span: &Span) {
        self.state.in_order &= span.first >= self.state.front.first || self.state.logged == 0;
        self.state.front.absorb(span);
    }

    /// Adds events of one session.
    pub fn add(&mut self, rule: &Rule, calendar: &mut Calendar, arena: &mut Arena, span: Span) {
        let front = self.state.front;
        if front.count == 0 {
            self.state.front = span;
        } else if rule.joins(calendar, &front, &span) {
            self.absorb(&span);
        } else {
            self.state.in_order &= front.first < span.first;
            self.state.front = span;
            match PackedSpan::pack(&front) {
                Some(packed) => self.log(rule, calendar, arena, packed),
                None => {
                    // Pieces of one session touch, so reading them must join them again.
                    self.state.in_order = false;
                    PackedSpan::pack_in_pieces(&front, |piece| self.log(rule, calendar, arena, piece));
                }
            }
        }
    }

    fn log(&mut self, rule: &Rule, calendar: &mut Calendar, arena: &mut Arena, span: PackedSpan) {
        if self.state.logged == 0 {
            self.state.inline = span;
            self.state.logged = 1;
            return;
        }
        if !self.has_room() && (self.state.in_order || !self.compact(rule, calendar)) {
            self.grow(arena);
        }
        // SAFETY: the newest chunk has room now: it had, compaction made some, or it is new.
        unsafe {
            let chunk = self.state.newest;
            Chunk::slot(chunk, (*chunk).used).write(span);
            (*chunk).used += 1;
        }
        self.state.logged += 1;
    }

    fn has_room(&self) -> bool {
        // SAFETY: `newest` is null or a live chunk of this visitor.
        unsafe { self.state.newest.as_ref() }.is_some_and(|chunk| chunk.used < chunk.capacity)
    }

    /// Puts a larger chunk in front. An eighth of what there is bounds what is left unused.
    fn grow(&mut self, arena: &mut Arena) {
        let capacity = (self.state.logged / 8).next_power_of_two().clamp(2, LARGEST_CHUNK);
        let size = size_of::<Chunk>() + capacity as usize * size_of::<PackedSpan>();
        let chunk = arena.take(size).cast::<Chunk>();
        // SAFETY: the arena gave room for the head and the slots, aligned to 8.
        unsafe { chunk.write(Chunk { older: self.state.newest, used: 0, capacity }) };
        self.state.newest = chunk;
    }

    /// Joins what belongs together in a full log. Whether that made enough room to go on without growing.
    #[cold]
    fn compact(&mut self, rule: &Rule, calendar: &mut Calendar) -> bool {
        let before = self.state.logged as usize;
        let mut spans = Vec::with_capacity(before);
        self.collect_log(&mut spans);
        normalize(rule, calendar, &mut spans);
        let mut pieces = Vec::with_capacity(spans.len());
        for span in &spans {
            PackedSpan::pack_in_pieces(span, |piece| pieces.push(piece));
        }
        let worthwhile = pieces.len() <= before / 4 * 3;
        if worthwhile {
            self.refill(&pieces);
        }
        worthwhile && self.has_room()
    }

    /// Replaces the log by fewer spans, oldest chunk first, so that the newest, which takes further ones, has room.
    fn refill(&mut self, pieces: &[PackedSpan]) {
        let mut chunks = Vec::new();
        let mut chunk = self.state.newest;
        while !chunk.is_null() {
            chunks.push(chunk);
            // SAFETY: the chain holds live chunks.
            chunk = unsafe { (*chunk).older };
        }
        let mut rest = pieces;
        if let Some((first, others)) = rest.split_first() {
            self.state.inline = *first;
            rest = others;
        }
        for chunk in chunks.iter().rev().copied() {
            // SAFETY: live chunks of this visitor, each filled up to its capacity at most.
            unsafe {
                let used = rest.len().min((*chunk).capacity as usize);
                for (index, piece) in rest[..used].iter().enumerate() {
                    Chunk::slot(chunk, index as u32).write(*piece);
                }
                (*chunk).used = used as u32;
                rest = &rest[used..];
            }
        }
        debug_assert!(rest.is_empty());
        self.state.logged = pieces.len() as u32;
    }

    /// Appends the logged sessions, oldest entry first.
    fn collect_log(&self, spans: &mut Vec<Span>) {
        let start = spans.len();
        let mut chunk = self.state.newest;
        while !chunk.is_null() {
            // SAFETY: the chain holds live chunks whose first `used` slots are written.
            unsafe {
                spans.extend((0..(*chunk).used).rev().map(|index| Chunk::slot(chunk, index).read().unpack()));
                chunk = (*chunk).older;
            }
        }
        if self.state.logged > 0 {
            spans.push(self.state.inline.unpack());
        }
        spans[start..].reverse();
    }

    /// Fills `spans` with all sessions, joined and in order of time.
    pub fn collect(&self, rule: &Rule, calendar: &mut Calendar, spans: &mut Vec<Span>) {
        spans.clear();
        self.collect_log(spans);
        if self.state.front.count > 0 {
            spans.push(self.state.front);
        }
        if !self.state.in_order || matches!(rule, Rule::Midnight { .. }) {
            normalize(rule, calendar, spans);
        }
    }
}
