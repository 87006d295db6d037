"""The health of every part of a copy, measured for the Health page, the API, `beckon doctor` and the overview."""
