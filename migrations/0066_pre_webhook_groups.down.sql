set local role beckon_service;
drop function store_webhooks(json, json, integer);
set local role none;
