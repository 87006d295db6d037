drop index contacts_search;
alter table contacts drop column search;
alter table contacts add column search tsvector generated always as (to_tsvector('simple',
    coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' || coalesce(username, '') || ' '
    || coalesce(email, '') || ' ' || coalesce(external_id, '')
)) stored;
create index contacts_search on contacts using gin (search);
drop function match_words(text);
drop function search_words(text);
drop function fold_words(text);
