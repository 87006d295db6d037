drop table model_settings;
