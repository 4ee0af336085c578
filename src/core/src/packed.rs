//! Spans in 16 bytes, for aggregates that keep millions of them in memory.

use crate::instant::{Instant, Micros};
use crate::span::Span;

const COUNT_BITS: u32 = 24;
const MOST_EVENTS: u64 = (1 << COUNT_BITS) - 1;
const LONGEST: Micros = (1 << (64 - COUNT_BITS)) - 1;

/// A span of at most 12.7 days and 16.7 million events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct PackedSpan {
    first: Instant,
    duration_and_count: u64,
}

impl PackedSpan {
    /// The span again.
    #[inline]
    pub fn unpack(self) -> Span {
        Span {
            first: self.first,
            last: self.first.wrapping_add((self.duration_and_count >> COUNT_BITS) as Micros),
            count: self.duration_and_count & MOST_EVENTS,
        }
    }

    /// The span in one piece, where it fits.
    #[inline]
    pub fn pack(span: &Span) -> Option<Self> {
        let duration = span.last.wrapping_sub(span.first) as u64;
        (duration <= LONGEST as u64 && span.count <= MOST_EVENTS)
            .then_some(PackedSpan { first: span.first, duration_and_count: duration << COUNT_BITS | span.count })
    }

    /// The span in pieces, each touching the one before, which every rule joins again.
    pub fn pack_in_pieces(span: &Span, mut push: impl FnMut(PackedSpan)) {
        let mut rest = *span;
        loop {
            let last = rest.last.min(rest.first.saturating_add(LONGEST));
            let piece = Span { first: rest.first, last, count: rest.count.min(MOST_EVENTS) };
            push(Self::pack(&piece).expect("a piece fits"));
            rest = Span { first: last, last: rest.last, count: rest.count - piece.count };
            if rest.count == 0 && rest.first == rest.last {
                return;
            }
        }
    }
}
