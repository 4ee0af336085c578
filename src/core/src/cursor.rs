//! Where a page of a list ended: an opaque text that only fits the query that gave it.

use crate::instant::Instant;

/// A cursor is the place, and a check of the place and the query, in hexadecimal.
const LENGTH: usize = 3 * 16;

/// The cursor of a row, for the query that is described by `query`.
pub fn write(query: &str, instant: Instant, session_id: i64) -> String {
    format!("{instant:016x}{session_id:016x}{:016x}", check(query, instant, session_id))
}

/// The row that a cursor stands for, unless it is of another query or made up.
pub fn read(query: &str, cursor: &str) -> Option<(Instant, i64)> {
    if cursor.len() != LENGTH || !cursor.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let part = |number: usize| u64::from_str_radix(&cursor[16 * number..16 * (number + 1)], 16).ok();
    let (instant, session_id) = (part(0)? as i64, part(1)? as i64);
    (part(2)? == check(query, instant, session_id)).then_some((instant, session_id))
}

/// FNV-1a, stirred at the end so that each bit depends on each byte. It catches mistakes, it keeps no secret.
fn check(query: &str, instant: Instant, session_id: i64) -> u64 {
    let bytes = instant.to_le_bytes().into_iter().chain(session_id.to_le_bytes()).chain(query.bytes());
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let stirred = (sum ^ (sum >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    stirred ^ (stirred >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_for_its_own_query() {
        for (instant, session_id) in [(0, 1), (-1, i64::MAX), (Instant::MAX - 1, 77)] {
            assert_eq!(read("shop", &write("shop", instant, session_id)), Some((instant, session_id)));
        }
    }

    #[test]
    fn cursors_of_other_queries_and_made_up_ones_are_refused() {
        let cursor = write("shop active", 123_456, 42);
        assert_eq!(read("shop closed", &cursor), None);
        for made_up in ["", "x", "é", &"0".repeat(48), &"é".repeat(24), &format!("{cursor}0"), &cursor[1..]] {
            assert_eq!(read("shop active", made_up), None, "{made_up}");
        }
        for place in 0..LENGTH {
            let mut changed = cursor.clone().into_bytes();
            changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
            assert_eq!(read("shop active", &String::from_utf8(changed).unwrap()), None);
        }
    }
}
