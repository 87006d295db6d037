alter table pauses drop column draining, drop column actor_name;
