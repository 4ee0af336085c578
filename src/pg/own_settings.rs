//! Settings of the library's own: by them it tells triggers on the tables of sessions, and itself, what it is about. They
//! end with the statements that they are for, and nobody but a superuser could set them by hand.

use std::ffi::CStr;

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

/// Events are being settled: what changes is noted at once, not row by row.
pub const SETTLING: &CStr = c"pg_sessionize.settling";
/// Sessions are deleted because others took their events: what still carries their ids stays, for these resolve.
pub const MERGING: &CStr = c"pg_sessionize.merging";

static IS_SETTLING: GucSetting<bool> = GucSetting::<bool>::new(false);
static IS_MERGING: GucSetting<bool> = GucSetting::<bool>::new(false);

/// Makes the settings known, when the library is loaded.
pub fn define() {
    let known = [
        (SETTLING, c"Whether events are being put into their sessions.", &IS_SETTLING),
        (MERGING, c"Whether sessions are being merged.", &IS_MERGING),
    ];
    for (name, about, setting) in known {
        let (context, flags) = (GucContext::Suset, GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_FILE);
        GucRegistry::define_bool_guc(name, about, c"Set by pg_sessionize itself.", setting, context, flags);
    }
}

/// Whether events are being settled.
pub fn is_settling() -> bool {
    IS_SETTLING.get()
}

/// Whether sessions are being merged.
pub fn is_merging() -> bool {
    IS_MERGING.get()
}
