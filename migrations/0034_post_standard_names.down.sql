create procedure hand_functions_over() language sql set search_path = public, pg_temp as
    'call transfer_function_ownership()';
revoke execute on procedure hand_functions_over() from public;
