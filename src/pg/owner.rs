//! Statements under the rights of another role, restricted as those of referential integrity triggers are.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use super::own_settings::{MERGING, SETTLING};
use super::spi::{Argument, Connection};

/// While it lives, statements run as a role.
pub struct AsOwner {
    user: pg_sys::Oid,
    context: i32,
    settings: Option<i32>,
}

impl AsOwner {
    /// Runs as the owner of a relation, with an own search path that no caller can influence.
    pub fn of_relation(relation: pg_sys::Oid) -> Self {
        Self::of_role(Self::owner(relation))
    }

    /// Runs as the owner of a user's table, with the search path that is configured for that owner here: the owner's
    /// triggers may rely on it, and no caller can influence it. For statements that qualify every name and operator.
    pub fn of_users_table(relation: pg_sys::Oid) -> Self {
        let owner = Self::owner(relation);
        let configured = {
            let _safely = Self::of_role(owner);
            first_text(CONFIGURED_PATH, &[Argument::oid(owner)], &[pg_sys::OIDOID])
        };
        let configured = configured.unwrap_or_else(|| DEFAULT_PATH.to_owned());
        let mut switched = Self::switch(owner);
        // SAFETY: the nest level is open until drop.
        switched.settings = Some(unsafe {
            let settings = pg_sys::NewGUCNestLevel();
            set_path(configured);
            // Schemas by their names lead other roles to the same ones, so plans that these made stay valid.
            set_path(first_text(VISIBLE_SCHEMAS, &[], &[]).unwrap_or_default());
            // Nor do the settings that a purge makes for its own statements reach them.
            for name in [c"work_mem", c"enable_hashjoin", c"enable_seqscan", c"plan_cache_mode"] {
                let value = CStr::from_ptr(pg_sys::GetConfigOptionResetString(name.as_ptr())).to_owned();
                set(name, &value);
            }
            set(c"pg_sessionize.visitors", c"");
            set(SETTLING, c"off");
            settings
        });
        switched
    }

    /// Runs as the owner of a relation, with the settings that hold.
    pub fn of_relation_here(relation: pg_sys::Oid) -> Self {
        Self::switch(Self::owner(relation))
    }

    fn owner(relation: pg_sys::Oid) -> pg_sys::Oid {
        // SAFETY: a catalog look-up; the tuple is released before anything else happens.
        unsafe {
            let tuple =
                pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, pg_sys::Datum::from(relation));
            if tuple.is_null() {
                super::error::Report::new(
                    super::error::SqlState::ERRCODE_UNDEFINED_TABLE,
                    format!("relation with id {relation} does not exist"),
                )
                .raise();
            }
            let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
            pg_sys::ReleaseSysCache(tuple);
            owner
        }
    }

    fn switch(role: pg_sys::Oid) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS;
        // SAFETY: what is set here is set back in drop, or by PostgreSQL when the (sub)transaction rolls back.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            pg_sys::SetUserIdAndSecContext(role, context | restricted as i32);
        }
        AsOwner { user, context, settings: None }
    }

    /// Runs as the owner of the tables of sessions, for statements that look up few rows of tables that may have grown since
    /// they were analyzed: by index, and with plans that are kept.
    pub fn for_look_ups(sessions: pg_sys::Oid) -> Self {
        let switched = Self::of_relation(sessions);
        // SAFETY: the nest level of `switched` is open.
        unsafe {
            set(c"enable_seqscan", c"off");
            set(c"plan_cache_mode", c"force_generic_plan");
            set(SETTLING, c"on");
        }
        switched
    }

    /// While sessions go because others took their events.
    pub fn merging(self) -> Self {
        // SAFETY: the nest level of `self` is open.
        unsafe { set(MERGING, c"on") };
        self
    }

    /// With at least so much memory for each step of a statement.
    pub fn with_memory(self, kilobytes: usize) -> Self {
        // SAFETY: the nest level of `self` is open; the setting is read where no other thread runs.
        unsafe {
            if kilobytes as i64 > i64::from(pg_sys::work_mem) {
                let value = CString::new(format!("{kilobytes}kB")).unwrap_or_default();
                set(c"work_mem", &value);
            }
        }
        self
    }

    /// Runs as a role, with an own search path that no caller can influence.
    pub fn of_role(role: pg_sys::Oid) -> Self {
        let mut switched = Self::switch(role);
        // SAFETY: as above.
        switched.settings = Some(unsafe {
            let settings = pg_sys::NewGUCNestLevel();
            set(c"search_path", c"pg_catalog, pg_temp");
            settings
        });
        switched
    }
}

/// Whose rights hold.
pub fn current_role() -> pg_sys::Oid {
    // SAFETY: reads a number.
    unsafe { pg_sys::GetUserId() }
}

/// What ALTER ROLE and ALTER DATABASE say about a role's search path in this database, what is most specific first.
const CONFIGURED_PATH: &str = "
    SELECT substr(setting, length('search_path=') + 1)
      FROM pg_db_role_setting, unnest(setconfig) AS setting
     WHERE setrole IN (0, $1) AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND starts_with(setting, 'search_path=')
     ORDER BY setrole = 0, setdatabase = 0
     LIMIT 1";

const DEFAULT_PATH: &str = "\"$user\", public";

// Temporary tables are the caller's: searched last, they stand in for none of the owner's.
const VISIBLE_SCHEMAS: &str = "
    SELECT pg_catalog.concat_ws(', ', pg_catalog.string_agg(pg_catalog.quote_ident(name), ', ' ORDER BY place), 'pg_temp')
      FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS visible (name, place)";

fn first_text(sql: &str, arguments: &[Argument], types: &[pg_sys::Oid]) -> Option<String> {
    Connection::open().run_once(sql, arguments, types).first()?.text(1)
}

/// # Safety
/// A nest level must be open.
unsafe fn set_path(path: String) {
    let path = CString::new(path).unwrap_or_default();
    // SAFETY: the caller vouches for the nest level.
    unsafe { set(c"search_path", &path) };
}

/// Sets a setting until the nest level that is open ends.
///
/// # Safety
/// A nest level must be open.
pub(super) unsafe fn set(name: &CStr, value: &CStr) {
    // SAFETY: both are terminated; the settings named here are ones that every user may set, or our own.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // PostgreSQL puts user and settings back as it rolls back.
            return;
        }
        // SAFETY: the values are those that held before.
        unsafe {
            if let Some(settings) = self.settings {
                // What triggers of users set ends here, too: the connection is the caller's.
                pg_sys::AtEOXact_GUC(false, settings);
            }
            pg_sys::SetUserIdAndSecContext(self.user, self.context);
        }
    }
}
