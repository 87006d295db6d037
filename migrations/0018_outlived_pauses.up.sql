-- What a pause or refused credentials hold, for the sweep that looks for those whose pause has ended without them.
create index executions_held on executions (id) where status = 'waiting' and waiting_for in ('pause', 'configuration');
