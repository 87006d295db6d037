drop table possible_opt_outs, help_replies;
