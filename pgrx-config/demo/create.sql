-- The extension, and a table of events as any application has one.
CREATE EXTENSION pg_sessionize;

CREATE TABLE events (
    visitor     text NOT NULL,
    occurred_at timestamptz NOT NULL,
    kind        text
);
