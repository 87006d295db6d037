drop trigger tally_tracked_executions on workflow_executions;
drop trigger tally_tracked_actions on analytics_events;
drop trigger tally_new_executions on executions;
drop trigger tally_changed_execution on executions;
drop trigger tally_new_steps on steps;
drop trigger tally_changed_steps on steps;
drop trigger tally_new_messages on messages;
drop trigger tally_changed_messages on messages;
drop trigger record_reply on received_messages;
drop trigger record_unsubscription on suppressions;
drop table message_responses, analytics_tallies, analytics_changes;
drop function tally_tracked_executions(), tally_tracked_actions(), tally_page(text), tally_new_executions(), tally_changed_execution(), tally_new_steps(), tally_changed_steps(),
    tally_new_messages(), tally_changed_messages(), tally_responses(), record_reply(), record_unsubscription(),
    add_analytics_changes(integer), record_response(text, uuid, text, timestamptz), tally_messages(jsonb),
    message_counts(timestamptz, text), work_ms(uuid, bigint), tally_error(text, text, text), tally_status(text, text), tally_slot(timestamptz),
    time_bucket(bigint);
