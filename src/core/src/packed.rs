//! Spans in 16 bytes, for aggregates that keep millions of them in memory.

use crate::instant::{Instant, Micros};
use crate::span::Span;

const KIND_BITS: u32 = 2;
const COUNT_BITS: u32 = 22;
const MOST_EVENTS: u64 = (1 << COUNT_BITS) - 1;
const LONGEST: u64 = (1 << (64 - COUNT_BITS - KIND_BITS)) - 1;
const LARGEST_PART: u64 = (1 << (64 - KIND_BITS)) - 1;

/// Duration and count side by side: the common kind.
const WHOLE: u64 = 0;
/// Nothing but a duration: a part of a longer span.
const DURATION: u64 = 1;
/// Nothing but a count: a part of a span with more events.
const COUNT: u64 = 2;

/// A span of at most 12.7 days and 4.1 million events, or a part of a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct PackedSpan {
    first: Instant,
    content: u64,
}

impl PackedSpan {
    /// No events.
    pub const NOTHING: PackedSpan = PackedSpan { first: 0, content: 0 };

    /// The span as bytes, for another process on this machine.
    #[inline]
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.first.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.content.to_ne_bytes());
        bytes
    }

    /// The span that [`PackedSpan::to_bytes`] made `bytes` of.
    #[inline]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let [first, content] = [0, 8].map(|start| std::array::from_fn(|place| bytes[start + place]));
        PackedSpan { first: Instant::from_ne_bytes(first), content: u64::from_ne_bytes(content) }
    }

    /// The span again.
    #[inline]
    pub fn unpack(self) -> Span {
        let number = self.content >> KIND_BITS;
        let (duration, count) = match self.content & ((1 << KIND_BITS) - 1) {
            WHOLE => (number >> COUNT_BITS, number & MOST_EVENTS),
            DURATION => (number, 0),
            _ => (0, number),
        };
        Span { first: self.first, last: self.first.wrapping_add(duration as Micros), count }
    }

    /// The span in one piece, where it fits.
    #[inline]
    pub fn pack(span: &Span) -> Option<Self> {
        let duration = span.last.wrapping_sub(span.first) as u64;
        (duration <= LONGEST && span.count <= MOST_EVENTS).then_some(PackedSpan {
            first: span.first,
            content: (duration << COUNT_BITS | span.count) << KIND_BITS | WHOLE,
        })
    }

    /// The span in pieces, few however large it is, each touching the one before, which every rule joins again.
    pub fn pack_in_pieces(span: &Span, mut push: impl FnMut(PackedSpan)) {
        if let Some(packed) = Self::pack(span) {
            push(packed);
            return;
        }
        let mut part = |first, kind, number| push(PackedSpan { first, content: number << KIND_BITS | kind });
        let mut first = span.first;
        while first < span.last {
            let duration = (span.last.wrapping_sub(first) as u64).min(LARGEST_PART);
            part(first, DURATION, duration);
            first = first.wrapping_add(duration as Micros);
        }
        let mut count = span.count;
        while count > 0 {
            let some = count.min(LARGEST_PART);
            part(first, COUNT, some);
            count -= some;
        }
    }
}
