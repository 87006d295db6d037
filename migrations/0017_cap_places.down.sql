drop table cap_places;
