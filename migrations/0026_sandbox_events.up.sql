-- Events that the sandbox signed stand apart: they concern messages that went to the sandbox, and none may keep a
-- provider's event with the same id from being stored.

alter table inbound_events add column sandbox boolean not null default false;
alter table inbound_events drop constraint inbound_events_provider_event_id_key;
alter table inbound_events add constraint inbound_events_provider_event_id_sandbox_key
    unique (provider, event_id, sandbox);
