-- The sessions list, sentence by sentence of the page it was made for, in its words. Read at noon of a day in May.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;
CREATE TABLE visits (visitor text, occurred_at timestamptz, received_at timestamptz, kind text,
                     ip inet, country text, customer text, items integer, total numeric, currency text);
SELECT create_session_app('store', conversion_kinds => '{order}', cancellation_kinds => '{cancel}') > 0 AS made;
SELECT create_session_app('other store') > 0 AS made;
SELECT track_sessions('visits', 'visitor', 'occurred_at', app => 'store', kind => 'kind', received_at => 'received_at',
                      ip => 'ip', country => 'country', customer => 'customer',
                      cart_items => 'items', cart_value => 'total', currency => 'currency') > 0 AS tracked;
INSERT INTO visits VALUES
    ('anna',  '2026-05-10 11:27+00', '2026-05-10 11:27+00', 'view',   '10.1.2.3',  'CZ', NULL,   2, 3124.75, 'USD'),
    ('anna',  '2026-05-10 11:50+00', '2026-05-10 11:50+00', 'view',   NULL,        NULL, NULL,   NULL, NULL, NULL),
    ('boris', '2026-05-09 15:00+00', '2026-05-09 15:00+00', 'view',   '10.1.9.9',  'US', 'b@example.org', 1, 49.95, 'USD'),
    ('boris', '2026-05-09 15:10+00', '2026-05-09 15:10+00', 'order',  NULL,        NULL, NULL,   NULL, NULL, NULL),
    ('cyril', '2026-05-07 12:00+00', '2026-05-07 12:00+00', 'view',   '2001:db8::7', 'JP', 'c',  3, 5000, 'JPY'),
    ('dana',  '2026-04-30 12:00+00', '2026-04-30 12:00+00', 'view',   '192.0.2.1', 'DE', NULL,   NULL, NULL, NULL),
    ('dana',  '2026-04-30 12:05+00', '2026-04-30 12:05+00', 'cancel', NULL,        NULL, NULL,   NULL, NULL, NULL),
    ('emil',  '2026-05-10 09:00+00', '2026-05-10 09:00+00', 'view',   NULL,        NULL, 'e',    NULL, NULL, NULL),
    ('filip', '2026-05-10 12:05+00', '2026-05-10 12:00+00', 'view',   NULL,        'XX', NULL,   0, 0, 'KWD');
UPDATE sessionize.sessions SET token = 'I7D_WJdza-gEmqks' WHERE visitor = 'anna' AND app_id = sessionize.app_id('store');
\set noon '''2026-05-10 12:00+00'''

\qecho 'The sessions list displays reservation sessions for the selected store.'
SELECT visitor FROM list_sessions('store', at => :noon) ORDER BY visitor;
SELECT visitor FROM list_sessions('other store', at => :noon);

\qecho 'Each row represents a single cart reservation session and reflects its current or final state.'
SELECT visitor, status, event_count FROM list_sessions('store', at => :noon);

\qecho 'The page header shows the total count of sessions (e.g., "115 total sessions").'
SELECT count_sessions('store') || ' total sessions' AS header;
SELECT count_sessions('store'), count_sessions('other store'),
       count_sessions() = (SELECT count(*) FROM sessionize.sessions) AS all_of_them;

\qecho 'Use search and filters to quickly locate specific sessions.'
SELECT visitor FROM list_sessions('store', 'expired', 'normal', '10.1.0.0/16', at => '2026-06-10 12:00+00');
\qecho 'Search by cart token, IP, or country...'
\qecho 'Cart token — the unique session identifier; a part of it will do.'
SELECT visitor FROM list_sessions('store', search => 'I7D_WJdza-gEmqks');
SELECT visitor FROM list_sessions('store', search => 'WJdza-');
\qecho 'Also as the list shows it, and with the blanks that come along when it is copied.'
SELECT visitor FROM list_sessions('store', search => (SELECT short_token FROM list_sessions('store', search => 'anna')));
SELECT visitor, count_sessions('store', search => E'\tI7D_WJdza-gEmqks\n ') FROM list_sessions('store', search => E'\tI7D_WJdza-gEmqks\n ');

\qecho 'IP address — customer''s IP; or a network.'
SELECT visitor FROM list_sessions('store', search => '10.1.2.3');
SELECT visitor FROM list_sessions('store', search => '10.1.0.0/16');
SELECT visitor FROM list_sessions('store', search => '2001:db8::/32');

\qecho 'Country — customer''s location; by code or English name, in any case.'
SELECT visitor FROM list_sessions('store', search => 'cz');
SELECT visitor FROM list_sessions('store', search => 'Germany');
SELECT visitor FROM list_sessions('store', search => 'united states');
SELECT visitor FROM list_sessions('store', search => '🇨🇿');

\qecho 'This is useful when investigating individual customer issues or support requests: a visitor or a customer can be searched too.'
SELECT visitor FROM list_sessions('store', search => 'dana');
SELECT visitor FROM list_sessions('store', search => ' b@example.org ');

\qecho 'Filter sessions by their current state using the Status dropdown:'
\qecho 'Active — sessions with running timers'
SELECT visitor, status FROM list_sessions('store', 'Active', at => :noon);
\qecho 'Converted — sessions that completed checkout'
SELECT visitor, status FROM list_sessions('store', 'CONVERTED', at => :noon);
\qecho 'Expired — sessions that timed out'
SELECT visitor, status FROM list_sessions('store', 'expired', at => :noon);
\qecho 'Cancelled — sessions cancelled by system or validation'
SELECT visitor, status FROM list_sessions('store', 'cancelled', at => :noon);
\qecho 'All — show all sessions. With a grace of 24 hours there are closed ones too.'
SELECT count(*) = count_sessions('store') AS all_of_them FROM list_sessions('store', 'All', at => :noon);
SELECT visitor, status FROM list_sessions('store', 'closed', at => :noon);
SELECT count_sessions('store', 'all') = (SELECT sum(count_sessions('store', status, at => :noon))
    FROM unnest('{active,closed,expired,converted,cancelled}'::text[]) AS status) AS all_have_one;

\qecho 'The status reflects the current lifecycle state of the session.'
SELECT to_char(at AT TIME ZONE 'UTC', 'DD HH24:MI') AS at, (SELECT status FROM list_sessions('store', search => 'anna', at => at))
  FROM unnest(ARRAY['2026-05-10 11:50+00', '2026-05-10 12:20+00', '2026-05-11 12:20+00']::timestamptz[]) AS at;

\qecho 'Filter sessions based on their security risk classification using the Risk Level dropdown:'
\qecho 'All, Normal — no security concerns, Monitored — being tracked for patterns, Review — requires manual attention, Restricted — blocked or limited'
SELECT set_session_risk(session_id, 'restricted', 'stolen card') FROM sessionize.sessions WHERE visitor = 'cyril' AND app_id = sessionize.app_id('store');
SELECT set_session_risk(session_id, 'review', 'odd') FROM sessionize.sessions WHERE visitor = 'emil' AND app_id = sessionize.app_id('store');
SELECT set_session_risk(session_id, 'monitored', 'odd') FROM sessionize.sessions WHERE visitor = 'dana' AND app_id = sessionize.app_id('store');
SELECT level, (SELECT string_agg(visitor, ' ') FROM list_sessions('store', risk => level, at => :noon)) AS visitors,
       count_sessions('store', risk => level)
  FROM unnest('{all,Normal,MONITORED,review,restricted}'::text[]) AS level;
SELECT visitor FROM list_sessions('store', 'closed', 'review', at => :noon);

\qecho 'Risk levels help identify potentially abusive or suspicious behavior.'
INSERT INTO visits SELECT 'hasty', instant, instant, 'view' FROM generate_series(1, 200) AS i, LATERAL (VALUES (timestamptz '2026-05-10 08:00+00' + i * interval '0.1 s')) AS at (instant);
SELECT assess_session_risk('store', now() - '2026-05-10 07:00+00') > 0 AS assessed;
SELECT visitor, risk, (SELECT risk_reasons #>> '{rules,0,description}' FROM sessionize.sessions AS session WHERE session.session_id = listed.session_id) AS why
  FROM list_sessions('store', search => 'hasty') AS listed;
DELETE FROM sessionize.sessions WHERE visitor = 'hasty';

\qecho 'Click Refresh to reload the sessions list with the latest available data.'
BEGIN;
INSERT INTO visits VALUES ('new', '2026-05-10 12:00+00', '2026-05-10 12:00+00', 'view');
SELECT visitor, started FROM list_sessions('store', page_size => 2, at => :noon);
ROLLBACK;
SELECT visitor, started FROM list_sessions('store', page_size => 2, at => :noon);

\qecho 'SESSION: Session icon — visual indicator of session type; Cart Token — unique session identifier (truncated, e.g., I7D_WJdza-gEmqks); Country flag — customer''s location with country code (e.g., 🇨🇿 CZ)'
SELECT icon, short_token, flag || ' ' || country AS country FROM list_sessions('store', search => 'anna');
SELECT count(DISTINCT token) = count(*) AS unique, bool_and(token ~ '^[A-Za-z0-9_-]{16}$') AS readable FROM list_sessions('store');
SELECT icon, flag, country FROM list_sessions('store', at => :noon);

\qecho 'CART: Item count — number of items (e.g., "1 item", "2 items"); Cart value — total value in currency (e.g., "49.95 USD", "3,124.75 USD")'
SELECT visitor, cart FROM list_sessions('store', at => :noon);

\qecho 'STATUS: Active — blue badge, Converted — green badge, Expired — yellow/orange badge, Cancelled — gray badge'
SELECT visitor, status, status_color FROM list_sessions('store', at => :noon);

\qecho 'STARTED: Relative time (e.g., "33m ago", "21h ago", "3d ago", "10d ago")'
SELECT visitor, started FROM list_sessions('store', at => :noon);

\qecho 'View — button to open the session detail page'
SELECT bool_and(session_details(session_id) #>> '{session,token}' = token AND session_details(token) #>> '{session,visitor}' = visitor) AS all_open
  FROM list_sessions('store');

\qecho 'Pages follow each other by cursor, also while rows arrive.'
CREATE TABLE pages (page integer, visitor text, cursor text);
INSERT INTO pages SELECT 1, visitor, cursor FROM list_sessions('store', page_size => 2);
INSERT INTO visits VALUES ('gustav', '2026-05-10 12:10+00', '2026-05-10 12:10+00', 'view');
INSERT INTO pages SELECT 2, visitor, cursor
  FROM list_sessions('store', page_size => 3, after => (SELECT cursor FROM pages WHERE visitor = 'anna'));
SELECT page, visitor FROM pages ORDER BY page;

\qecho 'Names are found as they are, even where they end as a short token does; countries as an application spells them, in any case.'
INSERT INTO visits (visitor, occurred_at, received_at, country, customer) VALUES
    (' blank', '2026-05-10 11:00+00', '2026-05-10 11:00+00', 'Bosnia and Herzegovina', E'wide\u00a0'),
    ('dots…', '2026-05-10 11:01+00', '2026-05-10 11:01+00', 'cZ', NULL), ('dots', '2026-05-10 11:02+00', '2026-05-10 11:02+00', NULL, NULL);
SELECT search, (SELECT string_agg(visitor, ', ') FROM list_sessions('store', search => search, at => :noon)) AS visitors, count_sessions('store', search => search)
  FROM unnest(ARRAY[' blank', 'blank', E'wide\u00a0', 'dots…', 'dots', ' dots ', '…', ' …', 'Czechia', 'CZ', 'cz', 'BOSNIA AND HERZEGOVINA', 'bosnia and herzegovina'])
       WITH ORDINALITY AS list (search, place) ORDER BY place;

\qecho 'All applications at once, and a boundary that is inclusive.'
SELECT create_session_app('inclusive', boundary => 'inclusive', grace => '0') > 0 AS made;
CREATE TABLE clicks (visitor integer, occurred_at timestamptz, received_at timestamptz);
SELECT track_sessions('clicks', 'visitor', 'occurred_at', app => 'inclusive', received_at => 'received_at') > 0 AS tracked;
INSERT INTO clicks VALUES (1, '2026-05-10 11:30+00', '2026-05-10 11:30+00'), (2, '2026-05-10 11:29:59.999999+00', '2026-05-10 11:30+00');
SELECT visitor, status FROM list_sessions('inclusive', at => :noon);
SELECT visitor FROM list_sessions('inclusive', 'active', at => :noon);
SELECT array_agg(session_id) = (SELECT array_agg(session_id ORDER BY started_at DESC, session_id DESC) FROM sessionize.sessions)
    AS all_of_them_in_order FROM list_sessions(page_size => 1000, at => :noon);

DROP TABLE visits, clicks, pages;
