drop table webhook_tokens;
