delete from inbound_events where sandbox;
alter table inbound_events drop constraint inbound_events_provider_event_id_sandbox_key;
alter table inbound_events add constraint inbound_events_provider_event_id_key unique (provider, event_id);
alter table inbound_events drop column sandbox;
