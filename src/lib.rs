//! pg_sessionize: events that an application already stores become sessions inside PostgreSQL.
//!
//! `pg` wraps PostgreSQL, `batch` holds the aggregates over whole tables, and the rules themselves
//! are in the crate `sessionize-core`.

pgrx::pg_module_magic!();

mod batch;
mod pg;

pgrx::extension_sql_file!("../sql/batch.sql", name = "batch");
