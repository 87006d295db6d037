"""The demo workspace that the first start creates: its contacts and its example automations."""
