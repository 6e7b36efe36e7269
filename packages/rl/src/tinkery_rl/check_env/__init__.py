"""`tinkery check-env`: an executable contract for environments. Read `command.py` first, then `checks.py`."""
