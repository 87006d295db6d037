drop function add_person(uuid, text, text, text);
