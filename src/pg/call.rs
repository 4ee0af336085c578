//! Functions that PostgreSQL calls: their arguments, results and memory across calls.

use std::borrow::Cow;
use std::ffi::{CStr, c_void};
use std::fmt;

use pgrx::pg_sys;
use sessionize_core::{Instant, Micros};

use super::error::{Report, SqlState};
use super::unguarded;

/// Defines a function for `LANGUAGE c`: the exported symbol and its version record. The body
/// takes a [`Call`] and gives a datum; errors and panics inside become PostgreSQL errors.
#[macro_export]
macro_rules! pg_function {
    ($(#[$documentation:meta])* $name:ident, $record:ident, $body:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $record() -> &'static pgrx::pg_sys::Pg_finfo_record {
            const RECORD: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }

        $(#[$documentation])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
            // SAFETY: PostgreSQL passes a valid call record, and no other reference to it lives during the call; its
            // own frames hold nothing that has to be dropped.
            unsafe { $crate::pg::error::guarded(|| $body(&mut $crate::pg::call::Call::new(fcinfo))) }
        }
    };
}

/// A PostgreSQL `interval` as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredInterval {
    /// Whole months.
    pub months: i32,
    /// Whole days.
    pub days: i32,
    /// The rest in microseconds.
    pub micros: Micros,
}

/// One call of one of our functions. The SQL definition of each function fixes the types of its
/// arguments; the accessors below rely on that and on nothing else.
pub struct Call<'a> {
    info: &'a mut pg_sys::FunctionCallInfoBaseData,
}

impl<'a> Call<'a> {
    /// # Safety
    /// `fcinfo` must be the record of the call under way.
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: the caller vouches for the record.
        Call { info: unsafe { &mut *fcinfo } }
    }

    /// The raw record, for the other modules of this folder.
    pub(super) fn info(&mut self) -> &mut pg_sys::FunctionCallInfoBaseData {
        self.info
    }

    /// How many arguments were passed.
    #[inline]
    pub fn argument_count(&self) -> usize {
        self.info.nargs as usize
    }

    /// Whether all arguments from a position on are the same at each call of this call site.
    pub fn are_constant(&self, position: usize) -> bool {
        // SAFETY: `flinfo` belongs to the call site and knows its arguments.
        (position..self.argument_count())
            .all(|index| unsafe { pg_sys::get_fn_expr_arg_stable(self.info.flinfo, index as i32) })
    }

    /// An argument that is not NULL.
    #[inline]
    pub fn datum(&self, index: usize) -> Option<pg_sys::Datum> {
        debug_assert!(index < self.argument_count());
        // SAFETY: the record holds as many arguments as the SQL definition has.
        let argument = unsafe { &*self.info.args.as_ptr().add(index) };
        (!argument.isnull).then_some(argument.value)
    }

    /// An `integer` argument.
    pub fn integer(&self, index: usize) -> Option<i32> {
        self.datum(index).map(|datum| datum.value() as i32)
    }

    /// A `tid` argument: block and line.
    pub fn row_address(&self, index: usize) -> Option<(u32, u16)> {
        // SAFETY: a tid is passed as a pointer to its stored form.
        self.datum(index).map(|datum| pgrx::itemptr::item_pointer_get_both(unsafe { *datum.cast_mut_ptr() }))
    }

    /// A `timestamptz` argument.
    #[inline]
    pub fn instant(&self, index: usize) -> Option<Instant> {
        self.datum(index).map(|datum| datum.value() as Instant)
    }

    /// An `interval` argument.
    #[inline]
    pub fn interval(&self, index: usize) -> Option<StoredInterval> {
        self.datum(index).map(|datum| {
            // SAFETY: an interval is passed as a pointer to its stored form, valid during the call.
            let interval = unsafe { &*datum.cast_mut_ptr::<pg_sys::Interval>() };
            StoredInterval { months: interval.month, days: interval.day, micros: interval.time }
        })
    }

    /// The bytes of a `text`, `bytea` or `sessionset` argument.
    #[inline]
    pub fn bytes(&self, index: usize) -> Option<&'a [u8]> {
        // SAFETY: the types named are stored as varlena.
        self.datum(index).map(|datum| unsafe { varlena_bytes(datum) })
    }

    /// A `text` argument.
    pub fn text(&self, index: usize) -> Option<Cow<'a, str>> {
        self.bytes(index).map(utf8)
    }

    /// A `cstring` argument.
    pub fn cstring(&self, index: usize) -> Option<Cow<'a, str>> {
        self.datum(index).map(|datum| {
            // SAFETY: a cstring is passed as a pointer to its terminated bytes.
            utf8(unsafe { CStr::from_ptr(datum.cast_mut_ptr()) }.to_bytes())
        })
    }

    /// All bytes that remain in the message of a receive function.
    pub fn message(&self, index: usize) -> Option<&'a [u8]> {
        self.datum(index).map(|datum| {
            // SAFETY: a receive function gets a StringInfo; its bytes live as long as the call.
            unsafe {
                let message = datum.cast_mut_ptr::<pg_sys::StringInfoData>();
                let length = (*message).len - (*message).cursor;
                let start = pg_sys::pq_getmsgbytes(message, length);
                std::slice::from_raw_parts(start.cast::<u8>(), length as usize)
            }
        })
    }

    /// A pointer that an earlier call gave as [`Call::pointer_result`]; null where the argument is NULL.
    #[inline]
    pub fn pointer<T>(&self, index: usize) -> *mut T {
        self.datum(index).map_or(std::ptr::null_mut(), |datum| datum.cast_mut_ptr())
    }

    /// NULL.
    #[inline]
    pub fn null(&mut self) -> pg_sys::Datum {
        self.info.isnull = true;
        pg_sys::Datum::null()
    }

    /// The result of a trigger that gives no row; PostgreSQL does not want it marked NULL.
    pub fn no_row(&mut self) -> pg_sys::Datum {
        pg_sys::Datum::null()
    }

    /// A pointer as an `internal` result; null is NULL.
    #[inline]
    pub fn pointer_result<T>(&mut self, pointer: *mut T) -> pg_sys::Datum {
        self.info.isnull = pointer.is_null();
        pg_sys::Datum::from(pointer)
    }

    /// A `bigint`.
    pub fn bigint(&mut self, value: i64) -> pg_sys::Datum {
        pg_sys::Datum::from(value)
    }

    /// A `float8`.
    pub fn float(&mut self, value: f64) -> pg_sys::Datum {
        pg_sys::Datum::from(value.to_bits())
    }

    /// An `interval` of hours, minutes, seconds and no days.
    pub fn interval_result(&mut self, micros: Micros) -> pg_sys::Datum {
        // SAFETY: the allocation has the size of an interval.
        unsafe {
            let interval = pg_sys::palloc(size_of::<pg_sys::Interval>()).cast::<pg_sys::Interval>();
            interval.write(pg_sys::Interval { time: micros, day: 0, month: 0 });
            pg_sys::Datum::from(interval)
        }
    }

    /// A varlena value: `bytea` or `sessionset`.
    pub fn bytes_result(&mut self, bytes: &[u8]) -> pg_sys::Datum {
        let size = bytes.len() + pg_sys::VARHDRSZ;
        if size > LARGEST_VALUE {
            raise_too_large();
        }
        // SAFETY: the allocation has room for the header and the bytes.
        unsafe {
            let value = pg_sys::palloc(size).cast::<pg_sys::varlena>();
            pgrx::set_varsize_4b(value, size as i32);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast::<u8>().add(pg_sys::VARHDRSZ), bytes.len());
            pg_sys::Datum::from(value)
        }
    }

    /// A `cstring`, which `write` writes piece by piece.
    pub fn cstring_result(&mut self, write: impl FnOnce(&mut TextResult) -> fmt::Result) -> pg_sys::Datum {
        let mut text = TextResult::new();
        write(&mut text).expect("writing into memory either works or ends the statement");
        text.push(b"\0");
        pg_sys::Datum::from(text.start)
    }

    /// What this call site keeps from call to call; made at the first call and dropped with the
    /// memory of the call site. A call site always asks for the same type.
    #[inline]
    pub fn kept<T>(&mut self, make: impl FnOnce() -> T) -> &'a mut T {
        // SAFETY: `flinfo` belongs to the call site; only this method writes its `fn_extra`, always for one type.
        unsafe {
            let site = &mut *self.info.flinfo;
            if site.fn_extra.is_null() {
                let value = Box::into_raw(Box::new(make()));
                super::memory::on_reset(site.fn_mcxt, drop_box::<T>, value.cast());
                site.fn_extra = value.cast();
            }
            &mut *site.fn_extra.cast::<T>()
        }
    }
}

/// Whether PostgreSQL's texts are in UTF8, as Rust's are.
pub(super) fn is_utf8_database() -> bool {
    // SAFETY: it only looks at a setting of the database.
    unsafe { pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_UTF8 as i32 }
}

/// A text of PostgreSQL's, which is in the encoding of the database.
pub fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.is_ascii() || is_utf8_database() {
        return String::from_utf8_lossy(bytes);
    }
    // SAFETY: the bytes are as many as said. What comes back is either them or a terminated text of its own.
    unsafe {
        let given = bytes.as_ptr().cast();
        let converted = pg_sys::pg_server_to_any(given, bytes.len() as i32, pg_sys::pg_enc::PG_UTF8 as i32);
        if std::ptr::eq(converted, given) {
            String::from_utf8_lossy(bytes)
        } else {
            CStr::from_ptr(converted).to_string_lossy()
        }
    }
}

/// The most bytes that PostgreSQL puts into one piece of memory, and so into one value: a byte less than 1 GB.
const LARGEST_VALUE: usize = 0x3fff_ffff;

#[cold]
fn raise_too_large() -> ! {
    Report::new(SqlState::ERRCODE_PROGRAM_LIMIT_EXCEEDED, "value is too large")
        .detail(format!("A value has at most {LARGEST_VALUE} bytes."))
        .hint("Bring together fewer sessions in one set; session_spans() gives those of a large set as rows.")
        .raise()
}

/// A text that grows in PostgreSQL's memory, and ends with an error where it gets too large.
pub struct TextResult {
    start: *mut u8,
    length: usize,
    capacity: usize,
}

impl TextResult {
    fn new() -> Self {
        const SMALLEST: usize = 256;
        // SAFETY: an ordinary allocation.
        TextResult { start: unsafe { pg_sys::palloc(SMALLEST) }.cast(), length: 0, capacity: SMALLEST }
    }

    fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > self.capacity - self.length {
            self.grow(bytes.len());
        }
        // SAFETY: there is room for the bytes behind those that are there.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(self.length), bytes.len()) };
        self.length += bytes.len();
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let needed = self.length + more;
        if needed > LARGEST_VALUE {
            raise_too_large();
        }
        self.capacity = (self.capacity * 2).clamp(needed, LARGEST_VALUE);
        // SAFETY: `start` is what PostgreSQL gave last.
        self.start = unsafe { pg_sys::repalloc(self.start.cast(), self.capacity) }.cast();
    }
}

impl fmt::Write for TextResult {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// The items, between which the statement can be cancelled.
pub fn interruptible<T>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    items.inspect(|_| {
        pgrx::check_for_interrupts!();
    })
}

/// A text in the current memory context.
///
/// # Safety
/// Under a guard.
pub(super) unsafe fn text(bytes: &[u8]) -> pg_sys::Datum {
    // SAFETY: the bytes are as many as said.
    unsafe { pg_sys::Datum::from(unguarded::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32)) }
}

/// The bytes of a varlena value; a copy is made where it is compressed or stored elsewhere.
///
/// # Safety
/// The datum must be a varlena value. The bytes live as long as it does, or as the current memory context.
#[inline]
pub(super) unsafe fn varlena_bytes<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: the caller vouches for the datum.
    unsafe {
        let value = datum.cast_mut_ptr::<pg_sys::varlena>();
        let lies_plain = pgrx::varatt_is_1b(value) && !pgrx::varatt_is_1b_e(value) || pgrx::varatt_is_4b_u(value);
        let value = if lies_plain { value } else { pg_sys::pg_detoast_datum_packed(value) };
        pgrx::varlena_to_byte_slice(value)
    }
}

/// # Safety
/// `value` must come from `Box::into_raw` of a `Box<T>` and not be used again.
unsafe extern "C-unwind" fn drop_box<T>(value: *mut c_void) {
    // SAFETY: the caller vouches for the pointer.
    drop(unsafe { Box::from_raw(value.cast::<T>()) });
}
