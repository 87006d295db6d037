drop table look_up_refusals;
