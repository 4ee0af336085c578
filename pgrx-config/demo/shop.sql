-- A plausible shop: 3,000 visitors over two weeks; evenings and weekends are busier, a few visitors come often,
-- some visits end in a cart, some carts in an order. The same on every run.
SELECT setseed(0.42) \g /dev/null

-- How likely a visit begins in each hour of the day, as shares of the busiest.
CREATE TEMPORARY TABLE busy (hour integer, share float8);
INSERT INTO busy
SELECT ordinality - 1, share
FROM unnest(ARRAY[.25, .12, .06, .03, .03, .05, .12, .25, .35, .40, .45, .50,
                  .60, .55, .50, .50, .55, .65, .75, .90, 1.0, .95, .75, .50]) WITH ORDINALITY AS hours (share, ordinality);

-- Visits: most visitors come once or twice, the keenest about thirty times.
CREATE TEMPORARY TABLE visits_to_come AS
SELECT row_number() OVER () AS visit, visitor, day + make_interval(hours => hour, secs => random() * 3600) AS begins
FROM (
    SELECT 'visitor-' || lpad(number::text, 4, '0') AS visitor,
           timestamptz '2026-05-04 00:00+00' + make_interval(days => floor(random() * 14)::integer) AS day,
           floor(random() * 24)::integer AS hour,
           random() AS luck
    FROM generate_series(1, 3000) AS number, generate_series(1, 5 + (150 * (1.0 / number ^ 0.5))::integer)
) AS attempts
JOIN busy USING (hour)
WHERE luck < share * CASE WHEN extract(isodow FROM day) >= 6 THEN 1.0 ELSE 0.7 END;

-- Pages of a visit: many look at one page and leave; the pauses between pages are mostly below two minutes, rarely long.
CREATE TEMPORARY TABLE pages AS
SELECT visit, visitor, page,
       begins + sum(pause) OVER (PARTITION BY visit ORDER BY page) AS occurred_at
FROM (
    SELECT visit, visitor, begins, page,
           CASE WHEN page = 1 THEN interval '0'
                WHEN random() < 0.02 THEN make_interval(secs => 900 + random() * 1800)
                ELSE make_interval(secs => 4 - 45 * ln(1 - random())) END AS pause
    FROM (SELECT *, CASE WHEN random() < 0.4 THEN 1 ELSE 1 + ceil(-5 * ln(1 - random()))::integer END AS length
          FROM visits_to_come) AS visits,
         generate_series(1, length) AS page
) AS paused;

INSERT INTO events (visitor, occurred_at, kind)
SELECT visitor, date_trunc('milliseconds', occurred_at),
       CASE WHEN page >= 4 AND random() < 0.12 THEN 'add_to_cart'
            WHEN page >= 6 AND random() < 0.06 THEN 'checkout'
            ELSE 'page_view' END
FROM pages
ORDER BY occurred_at;
