//! The transition table of a trigger that fires once for all rows of a DELETE.

use pgrx::pg_sys;

use super::call::Call;
use super::error::{Report, SqlState};
use super::spi::Connection;

/// The rows that a statement deleted.
pub struct DeletedRows {
    trigger: *mut pg_sys::TriggerData,
    /// How many they are.
    pub count: i64,
}

impl DeletedRows {
    /// Those of the call under way. Raises 39P01 where it is not an AFTER DELETE trigger with a transition table.
    pub fn of(call: &mut Call) -> Self {
        let trigger = call.info().context.cast::<pg_sys::TriggerData>();
        // SAFETY: a trigger function gets its TriggerData as context, which the tag tells from any other node; the
        // store lives until the trigger returns.
        unsafe {
            let fired = !trigger.is_null() && (*trigger).type_ == pg_sys::NodeTag::T_TriggerData;
            if !fired || (*trigger).tg_oldtable.is_null() {
                Report::new(
                    SqlState::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                    "function called without the rows of a DELETE",
                )
                .hint("It serves as an AFTER DELETE trigger with REFERENCING OLD TABLE, FOR EACH STATEMENT.")
                .raise();
            }
            DeletedRows { trigger, count: pg_sys::tuplestore_tuple_count((*trigger).tg_oldtable) }
        }
    }

    /// Lets the statements of a connection read them, under the name that the trigger gives them.
    pub fn show_to(&self, _connection: &Connection) {
        // SAFETY: the record stays valid until the trigger returns, and the connection ends before.
        unsafe { pg_sys::SPI_register_trigger_data(self.trigger) };
    }
}
