//! The state of one visitor inside an aggregate: 32 bytes, and 16 more for each session beyond the first.
//!
//! The session that the latest event fell into stands in front; the ones before it are logged in
//! chunks. Events in order of time only append, and events in any other order only append too: the
//! log is brought in order when it is full and when it is read.

use sessionize_core::packed::PackedSpan;
use sessionize_core::set::normalize;
use sessionize_core::{Calendar, Rule, Span};

use super::memory::Arena;

/// One visitor's sessions. Lives in an [`Arena`] and is only ever reached through [`SessionLog`].
///
/// Nearly every event needs this and nothing else. It is half a cache line, and arenas of nothing but states keep
/// it from lying across two.
#[repr(C)]
struct State {
    front: PackedSpan,
    rule: u64,
    newest: *mut Chunk,
}

const _: () = assert!(size_of::<State>() == 32);

/// Logged sessions; `capacity` of them follow the head in memory.
#[repr(C)]
struct Chunk {
    older: *mut Chunk,
    /// How many sessions older chunks hold.
    before: u32,
    used: u32,
    capacity: u32,
    /// Whether the log and the session in front are in order of time and none joins the next. Counts in the newest chunk.
    in_order: bool,
}

const SMALLEST_CHUNK: u32 = 3;
/// Half a gigabyte, under PostgreSQL's limit for one allocation. Chunks grow with the log until then: a log that is
/// brought in order once per chunk must not be so once per so many sessions.
const LARGEST_CHUNK: u32 = 1 << 25;
/// A log of fewer sessions is not worth joining while it grows.
const SMALLEST_COMPACTED: u32 = 16;

impl Chunk {
    /// Makes an empty chunk in front of `older`.
    ///
    /// # Safety
    /// `chunk` must have room for the head and `capacity` slots, and `older` be null or a live chunk.
    unsafe fn write(chunk: *mut Chunk, older: *mut Chunk, capacity: u32) {
        // SAFETY: the caller vouches for the pointers.
        unsafe {
            let (before, in_order) =
                older.as_ref().map_or((0, true), |older| (older.before + older.used, older.in_order));
            chunk.write(Chunk { older, before, used: 0, capacity, in_order });
        }
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
            Chunk::write(chunk, std::ptr::null_mut(), capacity);
            Self::write(state, packed_rule, chunk)
        }
    }

    /// # Safety
    /// `state` must have room for a state that nothing else refers to.
    unsafe fn write(state: *mut State, rule: u64, newest: *mut Chunk) -> Self {
        // SAFETY: the caller vouches for the pointer.
        unsafe {
            state.write(State { front: PackedSpan::NOTHING, rule, newest });
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
        // SAFETY: `newest` is null or a live chunk of this visitor, and its first `used` slots are written.
        unsafe {
            let Some(chunk) = self.state.newest.as_mut() else { return };
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
            if !self.has_room() {
                self.grow(arena, missing);
            }
            self.push(piece);
            missing -= 1;
        }
        self.mark_order(false);
    }

    fn log(&mut self, rule: &Rule, calendar: &mut Calendar, arena: &mut Arena, span: PackedSpan) {
        if !self.has_room() && !self.compact(rule, calendar) {
            self.grow(arena, 1);
        }
        self.push(span);
    }

    /// Writes into the newest chunk, which must have room.
    #[inline]
    fn push(&mut self, span: PackedSpan) {
        assert!(self.has_room());
        // SAFETY: a live chunk of this visitor with room for another span.
        unsafe {
            let chunk = self.state.newest;
            Chunk::slot(chunk, (*chunk).used).write(span);
            (*chunk).used += 1;
        }
    }

    fn mark_order(&mut self, in_order: bool) {
        if let Some(chunk) = self.newest_mut() {
            chunk.in_order &= in_order;
        }
    }

    #[inline]
    fn newest(&self) -> Option<&Chunk> {
        // SAFETY: `newest` is null or a live chunk of this visitor.
        unsafe { self.state.newest.as_ref() }
    }

    #[inline]
    fn newest_mut(&mut self) -> Option<&mut Chunk> {
        // SAFETY: `newest` is null or a live chunk of this visitor.
        unsafe { self.state.newest.as_mut() }
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.newest().is_some_and(|chunk| chunk.used < chunk.capacity)
    }

    fn in_order(&self) -> bool {
        self.newest().is_none_or(|chunk| chunk.in_order)
    }

    /// How many sessions, or pieces of them, are logged.
    fn logged(&self) -> u32 {
        self.newest().map_or(0, |chunk| chunk.before + chunk.used)
    }

    /// Puts a larger chunk in front. An eighth of what there is bounds what is left unused.
    fn grow(&mut self, arena: &mut Arena, needed: usize) {
        let eighth = (self.logged() / 8).next_power_of_two();
        let needed = needed.min(LARGEST_CHUNK as usize) as u32;
        let capacity = eighth.max(needed).clamp(SMALLEST_CHUNK, LARGEST_CHUNK);
        let chunk = arena.take(Chunk::size(capacity)).cast::<Chunk>();
        // SAFETY: the arena gave room for the head and the slots, aligned to 8.
        unsafe { Chunk::write(chunk, self.state.newest, capacity) };
        self.state.newest = chunk;
    }

    /// Joins what belongs together in a full log that is not in order. Whether that made enough room to go on without
    /// growing.
    fn compact(&mut self, rule: &Rule, calendar: &mut Calendar) -> bool {
        if self.in_order() || self.logged() < SMALLEST_COMPACTED {
            return false;
        }
        let before = self.logged() as usize;
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
        for chunk in chunks.iter().rev().copied() {
            // SAFETY: live chunks of this visitor, each filled up to its capacity at most.
            unsafe {
                let used = rest.len().min((*chunk).capacity as usize);
                for (index, piece) in rest[..used].iter().enumerate() {
                    Chunk::slot(chunk, index as u32).write(*piece);
                }
                (*chunk).before = (pieces.len() - rest.len()) as u32;
                (*chunk).used = used as u32;
                rest = &rest[used..];
            }
        }
        debug_assert!(rest.is_empty());
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
        spans[start..].reverse();
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
            self.copy_log(bytes);
            if self.state.front != PackedSpan::NOTHING {
                bytes.extend(self.state.front.to_bytes());
            }
        } else {
            self.collect(rule, calendar, spans);
            for span in spans {
                PackedSpan::pack_in_pieces(span, |piece| bytes.extend(piece.to_bytes()));
            }
        }
    }

    /// Appends the bytes of the logged sessions, oldest entry first.
    fn copy_log(&self, bytes: &mut Vec<u8>) {
        const SIZE: usize = size_of::<PackedSpan>();
        let start = bytes.len();
        bytes.resize(start + self.logged() as usize * SIZE, 0);
        let mut chunk = self.state.newest;
        while !chunk.is_null() {
            // SAFETY: the chain holds live chunks whose first `used` slots are written.
            let logged = unsafe {
                let logged = std::slice::from_raw_parts(Chunk::slot(chunk, 0), (*chunk).used as usize);
                let place = start + (*chunk).before as usize * SIZE;
                chunk = (*chunk).older;
                bytes[place..].chunks_exact_mut(SIZE).zip(logged)
            };
            logged.for_each(|(bytes, piece)| bytes.copy_from_slice(&piece.to_bytes()));
        }
    }
}
