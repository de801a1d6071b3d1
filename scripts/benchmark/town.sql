-- A town's worth of cases, by number. Before this the citizens of the benchmark and one handler have signed in,
-- so their persons and the staff row exist; `asked` holds how much is wanted, `frequent` those citizens.
-- Rows stand in the order in which a real town would have written them: an event near those of the same day.

SET session_replication_role = replica; -- no look-up per foreign key: the keys below are right by construction

CREATE FUNCTION pg_temp.key(of_kind int, number bigint, made_at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex((extract(epoch FROM made_at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(of_kind), 3, '0')
            || '8' || lpad(to_hex(number), 15, '0'))::uuid;

INSERT INTO person (id, given_name, family_name, email, language, by_email, by_sms, by_letter, created_at)
SELECT pg_temp.key(1, n, now() - interval '5 years'), 'Voornaam' || n, 'Familie' || n % 997,
       'burger' || n || '@example.be', 'nl', true, false, false, now() - interval '5 years'
  FROM asked, generate_series(1, asked.citizens) AS n;

INSERT INTO staff (id, subject, given_name, family_name, organisation, roles, seen_at)
SELECT pg_temp.key(2, n, now() - interval '5 years'), 'behandelaar-' || n, 'Behandelaar', 'Nummer ' || n, '', '[]', now()
  FROM generate_series(1, 20) AS n;

-- One line per case. The newest fifth is open; of those half have a handler.
CREATE TEMP TABLE line AS
SELECT n, at, open,
       pg_temp.key(3, n, at) AS case_id,
       pg_temp.key(4, n, at - interval '1 hour') AS application_id,
       CASE WHEN n % spread = 0 AND n / spread <= regulars * each
            THEN (SELECT id FROM frequent WHERE number = 1 + (n / spread) % regulars)
            ELSE pg_temp.key(1, 1 + n * 7919::bigint % citizens, now() - interval '5 years') END AS person_id,
       CASE WHEN open THEN (ARRAY['AWAITING_DECISION', 'AWAITING_PAYMENT', 'AWAITING_PAYMENT', 'AWAITING_PAYMENT',
                                  'AWAITING_SLOT', 'AWAITING_SLOT', 'AWAITING_DELIVERY', 'AWAITING_DELIVERY',
                                  'AWAITING_DELIVERY', 'AWAITING_DELIVERY'])[1 + n * 37 % 10]
            ELSE (ARRAY['REJECTED', 'WITHDRAWN', 'CANCELLED'])[1 + n * 37 % 100] END AS status,
       CASE WHEN n % 2 = 0 THEN pg_temp.key(2, 1 + n / 2 % 20, now() - interval '5 years') END AS handler_id
  FROM (SELECT n, asked.*, cases / (regulars * each) AS spread, n > cases * 0.8 AS open,
               now() - interval '3 years' * (1 - n::float8 / cases) - interval '10 days' AS at
          FROM asked, generate_series(1, asked.cases) AS n) AS numbered;
UPDATE line SET status = coalesce(status, 'COMPLETED'), handler_id = CASE WHEN open THEN handler_id END;
ALTER TABLE line ADD stage text;
UPDATE line SET stage = CASE status WHEN 'AWAITING_DECISION' THEN 'decision' WHEN 'AWAITING_PAYMENT' THEN 'payment'
                                    WHEN 'AWAITING_SLOT' THEN 'planning' WHEN 'AWAITING_DELIVERY' THEN 'delivery'
                                    WHEN 'REJECTED' THEN 'decision' WHEN 'WITHDRAWN' THEN 'payment'
                                    WHEN 'CANCELLED' THEN 'payment' ELSE 'delivery' END;

INSERT INTO application (id, procedure_key, procedure_version, person_id, channel, status, version, answers, prefill, cart,
                         facts, started_at, updated_at, submitted_at, expires_at)
SELECT application_id, 'compost-bin', 1, person_id, 'ONLINE', 'SUBMITTED', 4,
       jsonb_build_object('delivery', jsonb_build_object('street', 'Dorpsstraat', 'number', (n % 200)::text)), '[]',
       '[{"product": "bak", "quantity": 1, "options": {}}]', '{}', at - interval '1 hour', at, at, at + interval '30 days'
  FROM line ORDER BY n;

INSERT INTO "case" (id, reference, procedure_key, procedure_version, person_id, application_id, channel, stage, status, version,
                    round, department, handler_id, submitted_at, due_on, overdue, suspensions, outcome, facts, closed_at,
                    updated_at)
SELECT case_id, 'CB-' || to_char(at, 'YYYY') || '-' || lpad(n::text, 7, '0'), 'compost-bin', 1, person_id, application_id,
       'ONLINE', stage, status, 6, 1, 'Milieudienst', handler_id, at, (at + interval '30 days')::date, false, '[]',
       CASE WHEN NOT open THEN status END, '{}', CASE WHEN NOT open THEN at + interval '9 days' END, at + interval '9 days'
  FROM line ORDER BY n;

INSERT INTO event (id, case_id, person_id, case_version, type, stage, status, previous_status, occurred_at, actor_kind,
                   actor_id, actor_name, data, chain)
SELECT pg_temp.key(5, n * 10 + step, happened_at), case_id, person_id, step, type, event_stage, after, before, happened_at,
       CASE step WHEN 1 THEN 'CITIZEN' ELSE 'SYSTEM' END, CASE step WHEN 1 THEN person_id END,
       CASE step WHEN 1 THEN 'Voornaam' ELSE 'Loket' END, '{}', sha256(convert_to(n || '.' || step, 'UTF8'))
  FROM (SELECT line.*, steps.*, at + (step - 1) * interval '36 hours' AS happened_at
          FROM line, (VALUES (1, 'SUBMITTED', 'screening', 'RECEIVED', NULL),
                             (2, 'SCREENING_STARTED', 'screening', 'SCREENING', 'RECEIVED'),
                             (3, 'APPROVED', 'decision', 'APPROVED', 'SCREENING'),
                             (4, 'PAYMENT_DUE', 'payment', 'AWAITING_PAYMENT', 'APPROVED'),
                             (5, 'PAID', 'payment', 'AWAITING_PAYMENT', 'AWAITING_PAYMENT'),
                             (6, 'SLOT_NEEDED', 'planning', 'AWAITING_SLOT', 'AWAITING_PAYMENT'))
               AS steps (step, type, event_stage, after, before)) AS happened
 ORDER BY happened_at, n;

INSERT INTO invoice (id, case_id, person_id, round, journal, year, sequence, number, reference, status, version, amount, paid,
                     credited, costs, written_off, lines, issued_on, due_on)
SELECT pg_temp.key(6, n, at + interval '4 days'), case_id, person_id, 1, 'CB', extract(year FROM at), n,
       'CB-' || extract(year FROM at) || '-' || n, lpad((n % 10000000000)::text, 10, '0') || '00',
       CASE WHEN status = 'AWAITING_PAYMENT' THEN 'ISSUED' ELSE 'PAID' END, 1, 40,
       CASE WHEN status = 'AWAITING_PAYMENT' THEN 0 ELSE 40 END, 0, 0, 0,
       '[{"description": "Compostbak", "quantity": 1, "unit_amount": "40.00", "amount": "40.00"}]',
       (at + interval '4 days')::date, (at + interval '34 days')::date
  FROM line ORDER BY n;

INSERT INTO delivery (id, case_id, round, status, version, items, address, contact, route, starts_at, ends_at,
                      calendar_sequence, delivered_at, delivered_by)
SELECT pg_temp.key(7, n, at + interval '6 days'), case_id, 1, CASE WHEN status = 'COMPLETED' THEN 'DELIVERED' ELSE 'TO_PLAN' END,
       1, '[{"product": "bak", "description": "Compostbak", "quantity": 1}]',
       jsonb_build_object('street', 'Dorpsstraat', 'number', (n % 200)::text, 'postal_code', '2999', 'city', 'Lindebeke'),
       '{}', '2999 Dorpsstraat ' || n % 200,
       CASE WHEN status = 'COMPLETED' THEN at + interval '8 days' END,
       CASE WHEN status = 'COMPLETED' THEN at + interval '8 days 2 hours' END, 0,
       CASE WHEN status = 'COMPLETED' THEN at + interval '8 days 1 hour' END, ''
  FROM line ORDER BY n;

RESET session_replication_role;
