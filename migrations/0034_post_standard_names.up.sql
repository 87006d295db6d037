-- Programs of the earlier version have ended: nothing uses its job names and its procedure any more. The views of 0033
-- stay for this version, for reports and scripts that read the tables; the next version drops them.
delete from periodic_jobs where name in ('bells', 'look_ups', 'tallies');
drop procedure hand_functions_over();
