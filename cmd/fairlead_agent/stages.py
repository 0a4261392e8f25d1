"""The stages of bringing a release onto the host, as journals and reports name them."""

STAGING = "staging"
PRE_HOOK = "pre-hook"
DRAINING = "draining"
ACTIVATING = "activating"
RESTARTING = "restarting"
CHECKING = "checking"
POST_HOOK = "post-hook"
REGISTERING = "registering"
ROLLING_BACK = "rolling-back"

HOOKS = frozenset({PRE_HOOK, POST_HOOK})
TOUCHED = frozenset(  # what runs may not be what it was
    {ACTIVATING, RESTARTING, CHECKING, POST_HOOK, REGISTERING, ROLLING_BACK}
)
UNWRITTEN = frozenset({CHECKING, POST_HOOK, REGISTERING, ROLLING_BACK})  # taken also where they cannot be written down
BETWEEN = frozenset({ACTIVATING, RESTARTING, ROLLING_BACK})  # what is installed and what runs may be two releases
