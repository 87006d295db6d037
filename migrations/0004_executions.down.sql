drop table leadership, duties, operations, inbound_events, limit_reservations, limit_counts, messages, stage_history,
    steps, executions, idempotency_keys, triggers;
