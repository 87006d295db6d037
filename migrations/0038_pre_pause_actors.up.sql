-- A pause tells who began it, and of a queue whether it drains: what a worker has taken is finished, nothing new is taken.
-- The reason that an operator gives is the message, as a provider's words are for refused credentials.

alter table pauses
    add column draining boolean not null default false,
    add column actor_name text;
