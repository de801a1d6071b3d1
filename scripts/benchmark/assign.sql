-- What `caseAssign` and `caseRelease` keep, as one statement for those who have no Loket around it: the case is
-- locked, changed and counted on, and the event is chained to the last one. NULL for a case that has ended.
CREATE OR REPLACE FUNCTION case_assign(case_id uuid, staff_id uuid, by_id uuid, by_name text) RETURNS "case"
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    changed "case";
    made uuid := gen_random_uuid();
BEGIN
    UPDATE "case" SET handler_id = staff_id, version = version + 1, updated_at = now()
     WHERE id = case_assign.case_id AND closed_at IS NULL
     RETURNING * INTO changed;
    IF changed.id IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO event (id, case_id, person_id, case_version, type, stage, status, previous_status, occurred_at,
                       actor_kind, actor_id, actor_name, data, chain)
    SELECT made, changed.id, changed.person_id, changed.version,
           CASE WHEN staff_id IS NULL THEN 'RELEASED' ELSE 'ASSIGNED' END, changed.stage, changed.status,
           changed.status, now(), 'STAFF', by_id, by_name, '{}',
           sha256(last.chain || convert_to(concat_ws('|', made, changed.id, changed.version, changed.stage,
                                                     changed.status, now(), by_id, by_name), 'UTF8'))
      FROM event AS last
     WHERE last.case_id = changed.id AND last.case_version = changed.version - 1;
    RETURN changed;
END
$$;
