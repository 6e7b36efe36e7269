"""What holds for every test: nothing reaches beyond this machine.

Set before any test module is imported, because the hub's client reads it once, on import.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TINKER_TELEMETRY"] = "0"
