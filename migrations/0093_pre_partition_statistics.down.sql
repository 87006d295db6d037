do $$
begin
    execute replace(pg_get_functiondef('transfer_function_ownership'::regproc),
        '''analyze_contacts'', ''analyze_executions''', '''analyze_contacts''');
end
$$;
drop function analyze_executions();
