set local role beckon_service;
drop function move_contact_rows(uuid, uuid, text, text);
set local role none;
create function move_contact_rows(merged_contact uuid, kept_contact uuid, source_user text, target_user text) returns bigint
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    own constant uuid := acting_workspace();
    execution_ids uuid[];
    automation_ids uuid[];
begin
    -- Executions first: whoever records one locks it before its contact and its counts.
    select coalesce(array_agg(id order by id), '{}'), coalesce(array_agg(distinct automation_id), '{}')
    into execution_ids, automation_ids
    from executions where contact_id = merged_contact and workspace_id = own;
    update executions set contact_id = kept_contact where id = any(execution_ids);
    update messages set contact_id = kept_contact where execution_id = any(execution_ids);
    update triggers set contact_id = kept_contact where contact_id = merged_contact and workspace_id = own;

    update automation_runs set contact_id = kept_contact
    where workspace_id = own and automation_id = any(automation_ids) and contact_id = merged_contact;
    with gone as (
        delete from run_windows where contact_id = merged_contact and automation_id = any(automation_ids) returning *
    )
    insert into run_windows as w (automation_id, contact_id, workspace_id, counted_at)
    select automation_id, kept_contact, workspace_id, counted_at from gone order by automation_id
    on conflict (automation_id, contact_id) do update set counted_at = greatest(w.counted_at, excluded.counted_at);

    update limit_reservations set contact_id = kept_contact
    where execution_id = any(execution_ids) and contact_id = merged_contact;
    with gone as (
        delete from limit_counts where contact_id = merged_contact and automation_id = any(automation_ids) returning *
    )
    insert into limit_counts as c (workspace_id, automation_id, contact_id, day, count)
    select workspace_id, automation_id, kept_contact, day, count from gone order by automation_id, day
    on conflict (automation_id, contact_id, day) do update set count = c.count + excluded.count;
    update cap_reservations set contact_id = kept_contact where contact_id = merged_contact and workspace_id = own;

    update received_messages set contact_id = kept_contact where contact_id = merged_contact and workspace_id = own;
    with gone as (
        delete from conversations where contact_id = merged_contact and workspace_id = own returning *
    )
    insert into conversations as c (contact_id, channel, workspace_id, account_id, last_received_at)
    select kept_contact, channel, workspace_id, account_id, last_received_at from gone
    on conflict (contact_id, channel, workspace_id) do update set
        account_id = excluded.account_id, last_received_at = excluded.last_received_at
        where c.last_received_at < excluded.last_received_at;
    update contact_tasks set contact_id = kept_contact where contact_id = merged_contact and workspace_id = own;

    update workflow_executions
    set user_id = case user_id when merged_contact::text then kept_contact::text
        else coalesce(target_user, kept_contact::text) end
    where workspace_id = own and user_id in (merged_contact::text, source_user) and user_id is distinct from target_user;

    -- Every suppression of the source holds for the target; a reason that also stops transactional e-mail wins. A bounce
    -- belongs to its address.
    update suppressions t set address = s.address, reason = s.reason, created_at = s.created_at
    from suppressions s
    where s.contact_id = merged_contact and s.workspace_id = own and s.reason <> 'unsubscribed'
        and t.contact_id = kept_contact and t.workspace_id = own and t.channel = s.channel and t.reason = 'unsubscribed';
    update suppressions s set contact_id = kept_contact
    where s.contact_id = merged_contact and s.workspace_id = own and not exists (
        select from suppressions t where t.contact_id = kept_contact and t.workspace_id = own and t.channel = s.channel);
    delete from suppressions where contact_id = merged_contact and workspace_id = own;
    insert into suppressions (workspace_id, contact_id, channel, address, reason, created_at)
    select own, kept_contact, s.channel, s.address, s.reason, s.created_at from suppressed_channels(own, merged_contact) s
    where s.reason <> 'bounced'
    on conflict (workspace_id, contact_id, channel) do update
        set address = excluded.address, reason = excluded.reason, created_at = excluded.created_at
        where suppressions.reason = 'unsubscribed' and excluded.reason <> 'unsubscribed';
    return cardinality(execution_ids);
end
$$;
revoke execute on function move_contact_rows(uuid, uuid, text, text) from public;
grant execute on function move_contact_rows(uuid, uuid, text, text) to beckon_app, beckon_service;

call transfer_function_ownership();
