-- Programs of the earlier version have ended: nothing uses the old names of 0033 any more.
drop view cap_places, duties;
delete from periodic_jobs where name in ('bells', 'look_ups', 'tallies');
drop procedure hand_functions_over();
