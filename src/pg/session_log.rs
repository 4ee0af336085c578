//! The state of one visitor inside an aggregate: 32 bytes, and 16 more for each session beyond the first.
//!
//! The session that the latest event fell into stands in front; the ones before it are logged in
//! chunks. Events in order of time only append, and events in any other order only append too: the
//! log is brought in order when it is full and when it is read. Sessions that take turns are logged more than once;
//! joining them when the log is full keeps it at fewer than two entries for each, and two dozen where they are few.

use sessionize_core::packed::PackedSpan;
use sessionize_core::set::normalize;
use sessionize_core::{Calendar, Rule, Span};

use super::memory::{Arena, reserve};

/// One visitor's sessions. Lives in an [`Arena`] and is only ever reached through [`SessionLog`].
///
/// Nearly every event needs this and nothing else. It is half a cache line, and arenas of nothing but states keep
/// it from lying across two.
#[repr(C)]
struct State {
    front: PackedSpan,
    rule: u64,
    current: *mut Chunk,
}

const _: () = assert!(size_of::<State>() == 32);

/// Logged sessions; `capacity` of them follow the head in memory.
///
/// The chunks of a visitor form a ring. Up to the current one, which takes the next session, all are full; behind it come
/// those that are empty, then the oldest.
#[repr(C)]
struct Chunk {
    newer: *mut Chunk,
    /// How many sessions older chunks hold. Counts where the chunk is not empty, as the order does.
    before: u32,
    used: u32,
    capacity: u32,
    /// Whether the log and the session in front are in order of time and none joins the next. Counts in the current chunk.
    in_order: bool,
}

const SMALLEST_CHUNK: u32 = 3;
/// Half a gigabyte, under PostgreSQL's limit for one allocation. Chunks grow with the log until then: a log that is
/// brought in order once per chunk must not be so once per so many sessions.
const LARGEST_CHUNK: u32 = 1 << 25;
/// A log of fewer sessions is not worth joining while it grows.
const SMALLEST_COMPACTED: u32 = 16;

impl Chunk {
    /// Makes an empty chunk, a ring of its own.
    ///
    /// # Safety
    /// `chunk` must have room for the head and `capacity` slots.
    unsafe fn write(chunk: *mut Chunk, capacity: u32) {
        // SAFETY: the caller vouches for the pointer.
        unsafe { chunk.write(Chunk { newer: chunk, before: 0, used: 0, capacity, in_order: true }) };
    }

    /// The bytes that a chunk takes.
    fn size(capacity: u32) -> usize {
        size_of::<Chunk>() + capacity as usize * size_of::<PackedSpan>()
    }

    /// # Safety
    /// `chunk` must be a live chunk and `index` below its capacity.
    #[inline]
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
    pub fn create(states: &mut Arena, packed_rule: u64) -> Self {
        let state = states.take(size_of::<State>()).cast::<State>();
        // SAFETY: the arena gave room for a state, aligned to 8; nothing else refers to it.
        unsafe { Self::write(state, packed_rule, std::ptr::null_mut()) }
    }

    /// The state of a visitor without events and, beside it, a log with room for `sessions` and then some.
    pub fn create_with_room(arena: &mut Arena, packed_rule: u64, sessions: usize) -> Self {
        let capacity = (sessions + sessions.clamp(2, 16)).min(LARGEST_CHUNK as usize) as u32;
        let state = arena.take(size_of::<State>() + Chunk::size(capacity)).cast::<State>();
        // SAFETY: the arena gave room for both, aligned to 8; nothing else refers to it.
        unsafe {
            let chunk = state.add(1).cast::<Chunk>();
            Chunk::write(chunk, capacity);
            Self::write(state, packed_rule, chunk)
        }
    }

    /// # Safety
    /// `state` must have room for a state that nothing else refers to.
    unsafe fn write(state: *mut State, rule: u64, current: *mut Chunk) -> Self {
        // SAFETY: the caller vouches for the pointer.
        unsafe {
            state.write(State { front: PackedSpan::NOTHING, rule, current });
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

    /// Takes in events that fall into the session in front; whether they did.
    #[inline]
    pub fn extend(&mut self, rule: &Rule, calendar: &mut Calendar, events: &Span) -> bool {
        let front = self.state.front.unpack();
        if front.count == 0 || !rule.joins(calendar, &front, events) {
            return false;
        }
        let mut grown = front;
        grown.absorb(events);
        let Some(packed) = PackedSpan::pack(&grown) else {
            return false;
        };
        self.state.front = packed;
        if grown.first < front.first {
            self.check_order(rule, calendar, &grown);
        }
        true
    }

    /// Growing backwards may bring the session in front to one in the log.
    fn check_order(&mut self, rule: &Rule, calendar: &mut Calendar, front: &Span) {
        // SAFETY: `current` is null or a live chunk of this visitor, and its first `used` slots are written.
        unsafe {
            let Some(chunk) = self.state.current.as_mut() else { return };
            chunk.in_order &= chunk.used > 0 && {
                let logged = Chunk::slot(chunk, chunk.used - 1).read().unpack();
                logged.first < front.first && !rule.joins(calendar, &logged, front)
            };
        }
    }

    /// Adds events of one session.
    pub fn add(&mut self, rule: &Rule, calendar: &mut Calendar, arena: &mut Arena, span: &Span) {
        if self.extend(rule, calendar, span) {
            return;
        }
        let front = self.state.front.unpack();
        if front.count > 0 {
            // A session that would not fit into one piece goes on in the next: reading must join them again.
            let in_order = front.first < span.first && !rule.joins(calendar, &front, span);
            self.log(rule, calendar, arena, self.state.front);
            self.mark_order(in_order);
        }
        self.state.front = PackedSpan::pack(span).unwrap_or_else(|| {
            PackedSpan::pack_in_pieces(span, |piece| self.log(rule, calendar, arena, piece));
            self.mark_order(false);
            PackedSpan::NOTHING
        });
    }

    /// Appends what [`SessionLog::pieces`] gave of another part of the visitor's events.
    pub fn append(&mut self, arena: &mut Arena, pieces: impl ExactSizeIterator<Item = PackedSpan>) {
        let mut missing = pieces.len();
        for piece in pieces {
            if !self.has_room() && !self.advance() {
                self.grow(arena, missing);
            }
            self.push(piece);
            missing -= 1;
        }
        self.mark_order(false);
    }

    fn log(&mut self, rule: &Rule, calendar: &mut Calendar, arena: &mut Arena, span: PackedSpan) {
        if !self.has_room() && !self.advance() {
            self.compact(rule, calendar);
            if !self.has_room() && !self.advance() {
                self.grow(arena, 1);
            }
        }
        self.push(span);
    }

    /// Writes into the current chunk, which must have room.
    #[inline]
    fn push(&mut self, span: PackedSpan) {
        assert!(self.has_room());
        // SAFETY: a live chunk of this visitor with room for another span.
        unsafe {
            let chunk = self.state.current;
            Chunk::slot(chunk, (*chunk).used).write(span);
            (*chunk).used += 1;
        }
    }

    fn mark_order(&mut self, in_order: bool) {
        if let Some(chunk) = self.current_mut() {
            chunk.in_order &= in_order;
        }
    }

    #[inline]
    fn current(&self) -> Option<&Chunk> {
        // SAFETY: `current` is null or a live chunk of this visitor.
        unsafe { self.state.current.as_ref() }
    }

    #[inline]
    fn current_mut(&mut self) -> Option<&mut Chunk> {
        // SAFETY: `current` is null or a live chunk of this visitor.
        unsafe { self.state.current.as_mut() }
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.current().is_some_and(|chunk| chunk.used < chunk.capacity)
    }

    fn in_order(&self) -> bool {
        self.current().is_none_or(|chunk| chunk.in_order)
    }

    /// How many sessions, or pieces of them, are logged.
    fn logged(&self) -> u32 {
        self.current().map_or(0, |chunk| chunk.before + chunk.used)
    }

    /// Makes the chunk behind the current one the current one, if it is empty. The current one must be full.
    fn advance(&mut self) -> bool {
        let Some(full) = self.current() else { return false };
        let (next, before, in_order) = (full.newer, full.before + full.used, full.in_order);
        // SAFETY: the ring holds live chunks; a full one that is alone in it is not empty.
        unsafe {
            if (*next).used > 0 {
                return false;
            }
            (*next).before = before;
            (*next).in_order = in_order;
        }
        self.state.current = next;
        true
    }

    /// Goes on with a new chunk. An eighth of what there is bounds what is left unused.
    fn grow(&mut self, arena: &mut Arena, needed: usize) {
        let eighth = (self.logged() / 8).next_power_of_two();
        let needed = needed.min(LARGEST_CHUNK as usize) as u32;
        let capacity = eighth.max(needed).clamp(SMALLEST_CHUNK, LARGEST_CHUNK);
        let chunk = arena.take(Chunk::size(capacity)).cast::<Chunk>();
        // SAFETY: the arena gave room for the head and the slots, aligned to 8.
        unsafe { Chunk::write(chunk, capacity) };
        match self.current_mut() {
            Some(full) => {
                let oldest = std::mem::replace(&mut full.newer, chunk);
                // SAFETY: just written; nothing else refers to it.
                unsafe { (*chunk).newer = oldest };
                self.advance();
            }
            None => self.state.current = chunk,
        }
    }

    /// Joins what belongs together in a full log that is not in order, if that empties a quarter of it. Where it does, the
    /// next time is a quarter of the log away; where it does not, the log grows by an eighth.
    fn compact(&mut self, rule: &Rule, calendar: &mut Calendar) {
        if self.in_order() || self.logged() < SMALLEST_COMPACTED {
            return;
        }
        let mut spans = Vec::new();
        self.collect_log(&mut spans);
        normalize(rule, calendar, &mut spans);
        let mut pieces = Vec::new();
        reserve(&mut pieces, spans.len());
        for span in &spans {
            PackedSpan::pack_in_pieces(span, |piece| {
                reserve(&mut pieces, 1);
                pieces.push(piece);
            });
        }
        if pieces.len() <= self.logged() as usize / 4 * 3 {
            self.refill(&pieces);
        }
    }

    /// Replaces a full log by fewer spans, oldest chunk first.
    fn refill(&mut self, pieces: &[PackedSpan]) {
        let mut rest = pieces;
        for chunk in self.chunks() {
            // SAFETY: live chunks of this visitor, each filled up to its capacity at most.
            unsafe {
                let (these, later) = rest.split_at(rest.len().min((*chunk).capacity as usize));
                for (index, piece) in (0..).zip(these) {
                    Chunk::slot(chunk, index).write(*piece);
                }
                (*chunk).before = (pieces.len() - rest.len()) as u32;
                (*chunk).used = these.len() as u32;
                (*chunk).in_order = false;
                if !these.is_empty() {
                    self.state.current = chunk;
                }
                rest = later;
            }
        }
        debug_assert!(rest.is_empty());
    }

    /// All chunks, those with sessions from the oldest to the current one.
    fn chunks(&self) -> impl Iterator<Item = *mut Chunk> + use<> {
        let current = self.state.current;
        // SAFETY: `current` is null or a live chunk, and so is each that the ring goes on to.
        let newer = |chunk: *mut Chunk| unsafe { chunk.as_ref() }.map(|chunk| chunk.newer);
        std::iter::successors(newer(current), move |chunk| newer(*chunk).filter(|_| *chunk != current))
    }

    /// The logged sessions, oldest entry first.
    fn entries(&self) -> impl Iterator<Item = PackedSpan> {
        self.chunks().flat_map(|chunk| {
            // SAFETY: the first `used` slots of a live chunk are written.
            unsafe { std::slice::from_raw_parts(Chunk::slot(chunk, 0), (*chunk).used as usize) }.iter().copied()
        })
    }

    /// Appends the logged sessions, oldest entry first.
    fn collect_log(&self, spans: &mut Vec<Span>) {
        // One more, for the session in front.
        reserve(spans, self.logged() as usize + 1);
        spans.extend(self.entries().map(PackedSpan::unpack));
    }

    /// Fills `spans` with all sessions, joined and in order of time.
    pub fn collect(&self, rule: &Rule, calendar: &mut Calendar, spans: &mut Vec<Span>) {
        spans.clear();
        self.collect_log(spans);
        let front = self.state.front.unpack();
        if front.count > 0 {
            spans.push(front);
        }
        if !self.in_order() || matches!(rule, Rule::Midnight { .. }) {
            normalize(rule, calendar, spans);
        }
    }

    /// Appends all sessions to `bytes`, as [`PackedSpan::to_bytes`] has them; `spans` is for use in between.
    pub fn pieces(&self, rule: &Rule, calendar: &mut Calendar, spans: &mut Vec<Span>, bytes: &mut Vec<u8>) {
        if self.in_order() {
            let front = Some(self.state.front).filter(|front| *front != PackedSpan::NOTHING);
            reserve(bytes, (self.logged() as usize + 1) * size_of::<PackedSpan>());
            for piece in self.entries().chain(front) {
                bytes.extend_from_slice(&piece.to_bytes());
            }
        } else {
            self.collect(rule, calendar, spans);
            reserve(bytes, spans.len() * size_of::<PackedSpan>());
            for span in spans {
                PackedSpan::pack_in_pieces(span, |piece| {
                    reserve(bytes, size_of::<PackedSpan>());
                    bytes.extend(piece.to_bytes());
                });
            }
        }
    }
}
