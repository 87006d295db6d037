drop table channel_credentials;
