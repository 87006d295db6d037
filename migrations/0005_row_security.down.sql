drop function find_hook(bytea), find_session(bytea), find_sign_in(text), find_site_key(text), find_api_key(bytea);

do $$
declare
    found record;
begin
    for found in select schemaname, tablename, policyname from pg_policies where schemaname = 'public' loop
        execute format('drop policy %I on %I', found.policyname, found.tablename);
        execute format('alter table %I disable row level security', found.tablename);
    end loop;
    for found in select tablename from pg_tables where schemaname = 'public' loop
        execute format('revoke all on %I from beckon_app, beckon_service', found.tablename);
    end loop;
end
$$;
revoke usage on schema public from beckon_app, beckon_service;
