-- What waits for a reply keeps its time and its event, and so comes to its end.
update executions set waiting_for = 'event' where waiting_for = 'follow_up';

alter table executions
    drop constraint executions_waiting_for_check,
    add constraint executions_waiting_for_check check (waiting_for in (
        'time', 'window', 'event', 'retry', 'rate_limit', 'review', 'pause', 'configuration')),
    drop column follow_ups_stopped,
    drop column follow_up_ended_because,
    drop column follow_up_count,
    drop column round;
