drop function drop_history_partitions(timestamptz);
drop function ensure_history_partitions(integer);
