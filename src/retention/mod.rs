//! What belongs to sessions in users' tables: it goes with them, and can be counted and exported before; sweeps.

mod attached;
mod cascade;
mod sweep;
