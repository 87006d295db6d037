"""What operators do: actions on executions and messages, reviews, switches, model settings, invitations, test runs."""
