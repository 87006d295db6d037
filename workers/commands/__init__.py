"""The subcommands of `beckon`, one file each; `workers/command.py` finds them."""
