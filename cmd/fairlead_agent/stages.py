"""The stages of bringing a release onto the host, as journals and reports name them."""

STAGING = "staging"
DRAINING = "draining"
ACTIVATING = "activating"
RESTARTING = "restarting"
CHECKING = "checking"
REGISTERING = "registering"
ROLLING_BACK = "rolling-back"

TOUCHED = frozenset({ACTIVATING, RESTARTING, CHECKING, REGISTERING, ROLLING_BACK})  # what runs may not be what it was
UNWRITTEN = frozenset({CHECKING, REGISTERING, ROLLING_BACK})  # taken also where they cannot be written down
BETWEEN = frozenset({ACTIVATING, RESTARTING, ROLLING_BACK})  # what is installed and what runs may be two releases
