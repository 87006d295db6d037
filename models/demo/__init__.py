"""The demo workspace of a first start: its contacts and its example automations."""
