-- What became of four effects of each case, after town.sql: the effect, its one attempt, and the event that tells it.
-- `line` and pg_temp.key are of that file.

SET session_replication_role = replica;

CREATE TEMP TABLE told AS
SELECT n, case_id, person_id, place, kind, system, pg_temp.key(16 + place, n, told_at) AS effect_id, told_at,
       stage AS case_stage, status AS case_status
  FROM (SELECT line.*, kinds.*, at + (place * 2 + 1) * interval '18 hours' AS told_at
          FROM line, (VALUES (0, 'DOSIS_STATUS', 'dosis'), (1, 'MESSAGE_MBP', 'mbp'),
                             (2, 'MESSAGE_EMAIL', 'email'), (3, 'ACCOUNTING_ENTRY', 'accounting'))
               AS kinds (place, kind, system)) AS each;

INSERT INTO effect (id, lane, system, kind, case_id, payload, state, attempts, last_error, receipt, created_at, done_at)
SELECT effect_id, system || ':' || case_id, system, kind, case_id, '{}', 'DONE', 1, '', '{"id": "received"}', told_at,
       told_at + interval '1 second'
  FROM told ORDER BY told_at, n;

INSERT INTO attempt (id, effect_id, number, started_at, ended_at, outcome, error)
SELECT pg_temp.key(32 + place, n, told_at), effect_id, 1, told_at, told_at + interval '1 second', 'DONE', ''
  FROM told ORDER BY told_at, n;

INSERT INTO event (id, case_id, person_id, type, stage, status, previous_status, occurred_at, actor_kind, actor_name, data,
                   chain)
SELECT pg_temp.key(48 + place, n, told_at), case_id, person_id, 'EFFECT_DONE', case_stage, case_status, case_status,
       told_at + interval '1 second', 'SYSTEM', 'Loket', jsonb_build_object('effect', effect_id, 'kind', kind, 'system', system),
       sha256(convert_to(n || '.' || place || '.effect', 'UTF8'))
  FROM told ORDER BY told_at, n;

RESET session_replication_role;

-- What is in the figures already: a worker of this town has no history left to count.
INSERT INTO follower (name, epoch, xid, seq)
SELECT 'figures', feedepoch.epoch, event.xid, event.seq FROM feedepoch, event ORDER BY event.xid DESC, event.seq DESC LIMIT 1
    ON CONFLICT (name) DO UPDATE SET epoch = EXCLUDED.epoch, xid = EXCLUDED.xid, seq = EXCLUDED.seq;
