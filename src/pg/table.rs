//! Users' tables, by oid, as statements of ours use them.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use super::error::{Report, SqlState};

/// A user's table, locked until the transaction ends so that it keeps its owner, its name and its columns.
pub struct UserTable {
    /// Its oid.
    pub oid: pg_sys::Oid,
    /// Its qualified name, quoted for use in a statement.
    pub name: String,
    /// The same for its own rows and those of its partitions: other tables that inherit from it are left out.
    pub own: String,
}

impl UserTable {
    /// Locks a table for reading rows; none if it was dropped.
    pub fn to_read(oid: pg_sys::Oid) -> Option<Self> {
        Self::open(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE)
    }

    /// Locks a table for changing rows; none if it was dropped.
    pub fn to_change(oid: pg_sys::Oid) -> Option<Self> {
        Self::open(oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE)
    }

    fn open(oid: pg_sys::Oid, lock: pg_sys::LOCKMODE) -> Option<Self> {
        // SAFETY: the relation is open, hence its cache entry valid, while it is read; the lock outlives the closing.
        unsafe {
            let relation = pg_sys::try_relation_open(oid, lock);
            let form = relation.as_ref()?.rd_rel.as_ref()?;
            let schema = pg_sys::get_namespace_name(form.relnamespace);
            let name = pg_sys::quote_qualified_identifier(schema, form.relname.data.as_ptr());
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let own =
                if form.relkind as u8 == pg_sys::RELKIND_RELATION { format!("ONLY {name}") } else { name.clone() };
            pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
            Some(UserTable { oid, name, own })
        }
    }

    /// Ends the statement unless the current role itself may read all rows of the table.
    pub fn require_readable(&self) {
        // SAFETY: looks up rights by oid; the table exists, for it is locked.
        let (readable, filtered) = unsafe {
            let caller = pg_sys::GetUserId();
            let verdict = pg_sys::pg_class_aclcheck(self.oid, caller, pg_sys::ACL_SELECT as pg_sys::AclMode);
            let filtered =
                pg_sys::check_enable_rls(self.oid, caller, true) == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32;
            (verdict == pg_sys::AclResult::ACLCHECK_OK, filtered)
        };
        if !readable || filtered {
            let reason =
                if readable { "Row security hides some of its rows from you." } else { "You may not read it." };
            Report::new(SqlState::ERRCODE_INSUFFICIENT_PRIVILEGE, format!("permission denied for table {}", self.name))
                .detail(reason)
                .hint("Ask the owner of the table for the right to read all of it.")
                .raise();
        }
    }
}

/// A name, quoted for use in a statement.
pub fn quoted(name: &str) -> String {
    let name = CString::new(name).expect("names hold no zero bytes");
    // SAFETY: gives a terminated string, the argument itself or a new one, which is copied at once.
    unsafe { CStr::from_ptr(pg_sys::quote_identifier(name.as_ptr())).to_string_lossy().into_owned() }
}
