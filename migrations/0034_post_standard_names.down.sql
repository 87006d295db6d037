create procedure hand_functions_over() language sql set search_path = public, pg_temp as
    'call transfer_function_ownership()';
revoke execute on procedure hand_functions_over() from public;

create view duties with (security_invoker = true) as select * from periodic_jobs;
create view cap_places with (security_invoker = true) as select * from cap_reservations;
grant select on duties to beckon_app;
grant select, insert, update, delete on duties to beckon_service;
grant select, insert, update, delete on cap_places to beckon_app, beckon_service;
