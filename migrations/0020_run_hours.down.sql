create function hours_until(hours integer[], newest bigint, present bigint) returns integer[]
    language sql immutable parallel safe as $$
    select array_agg(coalesce(hours[place - (present - newest)::integer], 0) order by place desc)
    from generate_series(1, 24) as place
$$;
