drop view automation_live_stats, active_automation_contacts, automation_contact_states;
drop table tallied, stage_tallies;
alter index idx_automation_states_updated rename to stage_history_automation;
drop index idx_automation_states_rule;
