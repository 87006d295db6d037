-- One automation answers a comment or message, unless others start beside it (`exclusive: false` in the definition).

set local lock_timeout = '10s';
alter table automations add column exclusive boolean not null default true;

-- Automations that answer the same events today go on doing so. Two may, if their posts and their keywords overlap; accents
-- and case do not count, and a longer keyword contains a shorter one. A default is for what no keyword matches. Versions stay
-- as they are published: programs of the earlier version would refuse a definition with a field that they do not know.
set local role beckon_service;
with answering as materialized (
    select a.id, a.workspace_id, a.trigger_type,
        coalesce(v.definition #> '{trigger,with,posts}', '[]') as posts,
        coalesce((
            select array_agg(lower(regexp_replace(normalize(trim(k.word), NFKD), '[\u0300-\u036f]', '', 'g')))
            from jsonb_array_elements_text(coalesce(v.definition #> '{trigger,with,keywords}', '[]')) k(word)
        ), '{}') as keywords,
        v.definition #> '{trigger,with,default}' is not distinct from 'true' as is_default
    from automations a join workflow_versions v on v.id = a.version_id
    where a.enabled and a.deleted_at is null and a.trigger_type ~ '^(instagram|facebook)\.'
)
update automations set exclusive = false where id in (
    select a.id from answering a join answering b
        on b.workspace_id = a.workspace_id and b.trigger_type = a.trigger_type and b.id <> a.id
    where (a.posts = '[]' or b.posts = '[]' or exists (
            select from jsonb_array_elements(a.posts) post where b.posts @> jsonb_build_array(post)))
        and ((a.is_default and b.is_default)
            or (a.keywords = '{}' and not a.is_default) or (b.keywords = '{}' and not b.is_default)
            or exists (select from unnest(a.keywords) mine, unnest(b.keywords) others
                where position(mine in others) > 0 or position(others in mine) > 0))
);
set local role none;
