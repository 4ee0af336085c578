//! What belongs to sessions in users' tables: it goes with them, and can be counted and exported before.

mod attached;
mod cascade;
