-- A history of cases to count: six events each, with waits as varied as people's. `asked` holds how many cases.

SET session_replication_role = replica; -- no look-up per foreign key: the keys below are right by construction

INSERT INTO person (id, given_name, family_name, email, language, by_email, by_sms, by_letter, created_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'Voornaam', 'Familienaam', 'burger@example.be', 'nl', true, false, false, now());

-- From a minute to a month: half of the waits are shorter than about three hours.
CREATE TEMP TABLE line AS
SELECT n, gen_random_uuid() AS case_id, gen_random_uuid() AS application_id, at,
       at + interval '1 minute' * exp(random() * 10.5) AS approved_at
  FROM (SELECT n, now() - interval '3 years' * (1 - n::float8 / cases) - interval '90 days' AS at
          FROM asked, generate_series(1, asked.cases) AS n) AS numbered;
ALTER TABLE line ADD paid_at timestamptz, ADD delivered_at timestamptz;
UPDATE line SET paid_at = approved_at + interval '1 minute' * exp(random() * 10.5);
UPDATE line SET delivered_at = paid_at + interval '1 minute' * exp(random() * 10.5);

INSERT INTO application (id, procedure_key, procedure_version, person_id, channel, status, version, answers, prefill, cart,
                         facts, started_at, updated_at, submitted_at, expires_at)
SELECT application_id, 'compost-bin', 1, '00000000-0000-7000-8000-000000000001', 'ONLINE', 'SUBMITTED', 4, '{}', '[]', '[]',
       '{}', at - interval '1 second' * exp(random() * 9), at, at, at + interval '30 days'
  FROM line;

INSERT INTO "case" (id, reference, procedure_key, procedure_version, person_id, application_id, channel, stage, status, version,
                    round, department, submitted_at, due_on, overdue, suspensions, outcome, facts, closed_at, updated_at)
SELECT case_id, 'CB-' || lpad(n::text, 9, '0'), 'compost-bin', 1, '00000000-0000-7000-8000-000000000001', application_id,
       'ONLINE', 'delivery', 'COMPLETED', 6, 1, 'Dienst milieu', at, (at + interval '30 days')::date, false, '[]', 'COMPLETED',
       '{}', delivered_at, delivered_at
  FROM line;

INSERT INTO event (id, case_id, person_id, case_version, type, stage, status, previous_status, occurred_at, actor_kind,
                   actor_name, data, chain)
SELECT gen_random_uuid(), case_id, '00000000-0000-7000-8000-000000000001', step, type, stage, after, before, happened_at,
       CASE WHEN step = 3 AND random() < 0.1 THEN 'STAFF' ELSE 'SYSTEM' END, '', '{}', ''
  FROM line CROSS JOIN LATERAL (
       VALUES (1, at,           'SUBMITTED',         'screening', 'RECEIVED',         NULL),
              (2, at,           'SCREENING_STARTED', 'screening', 'SCREENING',        'RECEIVED'),
              (3, approved_at,  'APPROVED',          'decision',  'APPROVED',         'SCREENING'),
              (4, approved_at,  'PAYMENT_DUE',       'payment',   'AWAITING_PAYMENT', 'APPROVED'),
              (5, paid_at,      'PAID',              'planning',  'AWAITING_SLOT',    'AWAITING_PAYMENT'),
              (6, delivered_at, 'DELIVERED',         'delivery',  'COMPLETED',        'AWAITING_SLOT'))
       AS steps (step, happened_at, type, stage, after, before)
 ORDER BY happened_at, step;

RESET session_replication_role;
