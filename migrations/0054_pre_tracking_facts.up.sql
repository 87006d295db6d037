-- What a scrape says of the tracking intake, as counts only: the dashboard sees no rows of other workspaces.
create function tracking_facts() returns table (waiting bigint, oldest_seconds float8)
    language sql stable security definer set search_path = public, pg_temp as $$
    select count(*), coalesce(extract(epoch from beckon_now() - min(received_at)), 0)::float8
    from tracking_intake where failed_at is null
$$;
revoke execute on function tracking_facts() from public;
grant execute on function tracking_facts() to beckon_app, beckon_service;

call transfer_function_ownership();
