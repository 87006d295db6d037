-- Names and addresses are found by the beginning of any of their words, folded by NFKD and case.
--
-- PostgreSQL's parser kept an e-mail address as one word, so "example" did not find ada@example.com, and it knew no
-- accents. Phone numbers and the ids on Facebook and Instagram were not searched. The column is computed anew, which
-- locks the table while its rows are written: about half a minute for a million contacts.

-- The words of a text: decomposed (NFKD) without accents, in lower case, split at everything of ASCII, Latin-1 and the
-- blocks of punctuation that is neither a letter nor a digit. The blocks are named, because character classes depend
-- on the locale of the database. A word is cut after 64 characters; PostgreSQL refuses one of more than 2046 bytes.
create function fold_words(value text) returns text[] language sql immutable parallel safe as $$
select array_remove(string_to_array(regexp_replace(regexp_replace(
    replace(lower(regexp_replace(normalize(value, nfkd), '[\u0300-\u036f]', '', 'g')), 'ß', 'ss'),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u3000-\u3004\u3008-\u3020]+', ' ', 'g'),
    '([^ ]{64})[^ ]+', '\1', 'g'), ' '), '')
$$;

-- What a column of words holds.
create function search_words(value text) returns tsvector language sql immutable parallel safe as
    'select array_to_tsvector(public.fold_words(value))';

-- The query for rows in which every word of `value` begins some word. Further words than ten are ignored; null if there
-- is none.
create function match_words(value text) returns tsquery language sql immutable parallel safe as $$
select string_agg('''' || word || ''':*', ' & ')::tsquery from unnest((public.fold_words(value))[1:10]) word
$$;

drop index contacts_search;
alter table contacts drop column search;
alter table contacts add column search tsvector generated always as (search_words(
    coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' || coalesce(username, '') || ' '
    || coalesce(email, '') || ' ' || coalesce(phone, '') || ' ' || coalesce(external_id, '') || ' '
    || coalesce(facebook_id, '') || ' ' || coalesce(instagram_id, '')
)) stored;
create index contacts_search on contacts using gin (search);
