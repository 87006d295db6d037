-- Erasure of contacts. The row of an erased contact stays without names and addresses, so that executions, runs and counts
-- keep their owner.
set local lock_timeout = '10s';
alter table contacts add column erased_at timestamptz;

-- The log is never changed, but for the details that an erasure removes.
grant update (detail) on audit to beckon_service;

-- The text of a JSON value in lower case, with a space for each line end and tab, so that words end there.
create function words_of(content jsonb) returns text language sql immutable parallel safe as
    $$ select regexp_replace(lower(content::text), '\\[bfnrt]', ' ', 'g') $$;

-- Removes what the acting workspace keeps of contacts beside their own rows, and returns how many rows that were. Runs as
-- the service, because the dashboard may neither read callbacks nor change the log.
--
-- `addresses`, `names` and `keys` are regular expressions for lower-case text: of the addresses, which callbacks contain, of
-- the names and ids that free text may contain, too, and of idempotency keys that name the contact. `users` are its ids in
-- tracked executions. What counters and checks are computed from stays: statuses, times, classes of errors, and variants.
create function erase_contact_rows(contact_ids uuid[], addresses text, names text, keys text, users text[]) returns jsonb
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    own constant uuid := acting_workspace();
    mark constant text := 'Erased.';
    kept constant text[] := array['messageId', 'providerMessageId', 'resolved', 'alreadySent', 'taken', 'timedOut', 'until',
        'following', 'fallback', 'model', 'inputTokens', 'outputTokens', 'finishReason'];
    execution_ids uuid[];
    message_ids uuid[];
    trigger_ids uuid[];
    visit_ids uuid[];
    counts jsonb := '{}';
    changed bigint;
begin
    select coalesce(array_agg(id), '{}') into execution_ids from executions
    where contact_id = any(contact_ids) and workspace_id = own;
    select coalesce(array_agg(id), '{}') into message_ids from messages
    where execution_id = any(execution_ids) and workspace_id = own;
    select coalesce(array_agg(id), '{}') into trigger_ids from triggers
    where workspace_id = own and contact_id = any(contact_ids);

    update executions set
        error_message = case when error_message is not null then mark end,
        skipped_detail = case when skipped_detail is not null then jsonb_build_object('words', mark) end,
        follow_up_ended_because = case when follow_up_ended_because is not null then
            follow_up_ended_because || jsonb_build_object('detail', jsonb_build_object('words', mark)) end,
        follow_ups_stopped = case when follow_ups_stopped is not null then
            follow_ups_stopped || jsonb_build_object('detail', jsonb_build_object('words', mark)) end
    where id = any(execution_ids);
    counts := counts || jsonb_build_object('executions', cardinality(execution_ids));

    update steps set
        output = case when output is not null then
            coalesce((select jsonb_object_agg(key, value) from jsonb_each(output) where key = any(kept)), '{}') end,
        error = case when error is not null then error || jsonb_build_object('message', mark) end,
        failures = coalesce((select jsonb_agg(failure || jsonb_build_object('message', mark))
            from jsonb_array_elements(failures) failure), '[]')
    where execution_id = any(execution_ids);

    update messages set to_address = '', subject = null, body = '', detail = null, look_up_log = '[]', look_up_at = null,
        look_up_requested_at = null, error_message = case when error_message is not null then mark end
    where id = any(message_ids);
    counts := counts || jsonb_build_object('messages', cardinality(message_ids));
    delete from message_links where message_id = any(message_ids);

    delete from possible_opt_outs where contact_id = any(contact_ids) and workspace_id = own;
    delete from received_messages where contact_id = any(contact_ids) and workspace_id = own;
    get diagnostics changed = row_count;
    counts := counts || jsonb_build_object('receivedMessages', changed);
    delete from conversations where contact_id = any(contact_ids) and workspace_id = own;
    delete from contact_tasks where contact_id = any(contact_ids) and workspace_id = own;
    get diagnostics changed = row_count;
    counts := counts || jsonb_build_object('tasks', changed);
    delete from suppressions where contact_id = any(contact_ids) and workspace_id = own;

    -- A key stays, so that a repeated trigger starts nothing, unless it names the contact.
    delete from idempotency_keys where workspace_id = own and trigger_id = any(trigger_ids) and lower(key) ~ keys;
    update triggers set payload = '{}',
        idempotency_key = case when lower(idempotency_key) ~ keys then null else idempotency_key end
    where id = any(trigger_ids);
    counts := counts || jsonb_build_object('triggers', cardinality(trigger_ids));

    with erased as (
        update workflow_executions set user_id = null, session_id = null, page_url = null, page_path = null
        where workspace_id = own and user_id = any(users) returning id
    )
    select coalesce(array_agg(id), '{}') into visit_ids from erased;
    -- The ids of an execution's actions begin with its own.
    update analytics_events a set event_data = null, page_url = null,
        error = case when a.error is not null then mark end
    from unnest(visit_ids) visit (id)
    where a.workflow_execution_id = visit.id and a.workspace_id = own;
    update tracking_intake set body = (body::jsonb - array['userId', 'sessionId', 'pageUrl'])::json
    where workspace_id = own and body::jsonb ->> 'userId' = any(users);
    counts := counts || jsonb_build_object('trackedExecutions', cardinality(visit_ids));

    -- One that is not processed yet may be an opt-out; it is erased when it is processed.
    update inbound_events set body = '{}'
    where (workspace_id = own or workspace_id is null) and processed_at is not null and body <> '{}'
        and words_of(body) ~ addresses;
    get diagnostics changed = row_count;
    counts := counts || jsonb_build_object('callbacks', changed);

    update help_replies set to_address = null, status = 'failed', error = mark
    where workspace_id = own and status = 'pending' and lower(to_address) ~ addresses;
    update help_replies set error = mark where workspace_id = own and lower(error) ~ addresses;
    update operations set filters = '{}' where workspace_id = own and words_of(filters) ~ names;
    update audit set detail = '{}'
    where workspace_id = own and detail <> '{}' and (
        (object_kind = 'contact' and object_id = any(contact_ids::text[]))
        or (object_kind = 'message' and object_id = any(message_ids::text[]))
        or (object_kind = 'execution' and object_id = any(execution_ids::text[]))
        or words_of(detail) ~ names);
    get diagnostics changed = row_count;
    return counts || jsonb_build_object('auditEntries', changed);
end
$$;
revoke execute on function erase_contact_rows(uuid[], text, text, text, text[]) from public;
grant execute on function erase_contact_rows(uuid[], text, text, text, text[]) to beckon_app, beckon_service;

call transfer_function_ownership();
