set local role beckon_service;
drop function tracking_facts();
set local role none;
