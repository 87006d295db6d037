drop table email_recipients;
