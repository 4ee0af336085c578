-- Sessions of three shops over 90 days, as the live path would have left them; no events.
--   psql -v sessions=10000000 -f admin_population.sql
-- Six in ten belong to the first shop, three to the second, one to the third. Few visitors come often; one in twelve
-- buys, one in fifty is cancelled, three in a hundred look risky. The newest session began just now.
\if :{?sessions}
\else
  \set sessions 10000000
\endif
SELECT create_session_app(name) FROM unnest(ARRAY['books', 'garden', 'toys']) AS name \g /dev/null
SELECT setseed(0.42) \g /dev/null
ALTER TABLE sessionize.sessions DISABLE TRIGGER USER;
-- the shares of cheap things come from bits of one hash, so that a row costs one call
INSERT INTO sessionize.sessions (session_id, started_at, last_event_at, closes_at, expires_at, opened_at, event_count, app_id,
       last_event_day, visitor, token, risk, risk_score, converted_at, order_ref, cancelled_at, cancel_reason,
       customer, ip, country, channel, cart_items, cart_value, currency)
SELECT nextval('sessionize.session_ids'), started_at, last_event_at, last_event_at + '30 minutes', last_event_at + '24 hours 30 minutes',
       started_at, event_count, app_id, (last_event_at AT TIME ZONE 'UTC')::date,
       'visitor-' || who,
       translate(substr(encode(decode(md5(number::text), 'hex'), 'base64'), 1, 16), '+/', '-_'),
       CASE WHEN luck < 0.001 THEN 'restricted' WHEN luck < 0.008 THEN 'review' WHEN luck < 0.03 THEN 'monitored' ELSE 'normal' END,
       CASE WHEN luck < 0.001 THEN 90 WHEN luck < 0.008 THEN 70 WHEN luck < 0.03 THEN 40 ELSE 0 END,
       CASE WHEN outcome < 0.08 THEN last_event_at END, CASE WHEN outcome < 0.08 THEN 'order-' || number END,
       CASE WHEN outcome > 0.98 THEN last_event_at END, CASE WHEN outcome > 0.98 THEN 'stock ran out' END,
       CASE WHEN who % 5 = 0 THEN 'customer-' || who END,
       inet '10.0.0.0' + (who * 7919 % 16000000),
       (ARRAY['US','US','US','US','DE','DE','CZ','GB','FR','JP','BR','PL','SK','AT','IN','KW'])[1 + who % 16],
       CASE WHEN who % 3 = 0 THEN 'mobile' ELSE 'web' END,
       CASE WHEN cart THEN 1 + number % 4 END, CASE WHEN cart THEN round((10 + 190 * luck * luck)::numeric, 2) END,
       CASE WHEN cart THEN (ARRAY['USD','EUR','JPY'])[app_id - first_app + 1] END
FROM (
    SELECT number, started_at, started_at + make_interval(secs => (event_count - 1) * 40 * pause) AS last_event_at, event_count,
           first_app + CASE WHEN share < 0.6 THEN 0 WHEN share < 0.9 THEN 1 ELSE 2 END AS app_id, first_app,
           (power(pause, 2) * :sessions / 5)::bigint AS who, luck, outcome, outcome < 0.08 OR outcome > 0.8 AS cart
    FROM (SELECT number, now() - interval '90 days' * (1 - (number - 1 + random()) / :sessions) AS started_at,
                 1 + floor(-6 * ln(1 - random()))::bigint AS event_count,
                 random() AS share, random() AS pause, random() AS luck, random() AS outcome
            FROM generate_series(1, :sessions) AS number) AS drawn,
         (SELECT app_id AS first_app FROM sessionize.apps WHERE name = 'books') AS first
) AS visits;
ALTER TABLE sessionize.sessions ENABLE TRIGGER USER;
INSERT INTO sessionize.visitors (app_id, visitor) SELECT DISTINCT app_id, visitor FROM sessionize.sessions;
