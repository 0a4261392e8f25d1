"""Through which outlet of the outbox a word leaves: each has a queue, an order and a pace of its own.

| outlet | what leaves there | name in the queue |
|---|---|---|
| `main` | what commits of the repository say of themselves | `statuses:main` |
| `main+further` | copies on heads of pull requests, plans of them, comments, deployments | `further:main+further` |
| `main+acme/checkout` | words on commits of that application repository | `further:main+acme/checkout` |
| `notify-payments` | notices to that channel | `notices:notify-payments` |

Own statuses wait for nothing else that way, and a version that knows nothing else sees nothing else. No repository of
the settings has a `+` in its name, and none begins as a channel does.
"""

from desired_state.model import Sha
from reconciler.record import CommitStatus, Medium
from reconciler.reviews import PLAN

CHANNEL = "notify-"
STATUSES, FURTHER, NOTICES = "statuses", "further", "notices"  # families of the queue
FAMILIES = (STATUSES, FURTHER, NOTICES)
_JOINT = "+"


def outlet_of(word: CommitStatus, said_for: Sha = "") -> str:
    """Where a word leaves. `said_for`: the commit that it repeats, where it does. Forges ignore case in names."""
    if word.repository.startswith(CHANNEL):
        return word.repository
    if word.project:
        return f"{word.repository}{_JOINT}{word.project.lower()}"
    if word.medium is Medium.STATUS and not said_for and word.context != PLAN:
        return word.repository
    return further(word.repository)


def further(repository: str) -> str:
    """The outlet of what is said in a repository beside the own statuses of its commits."""
    return f"{repository}{_JOINT}{FURTHER}"


def beside(repository: str) -> str:
    """How every other outlet of a repository begins."""
    return f"{repository}{_JOINT}"


def repository_of(outlet: str) -> str:
    """The repository (or the channel) whose forge (or notifier) delivers what leaves there."""
    return outlet.partition(_JOINT)[0]


def key_of(outlet: str) -> str:
    """The name of the queue under which it is delivered."""
    if outlet.startswith(CHANNEL):
        return f"{NOTICES}:{outlet}"
    return f"{FURTHER if _JOINT in outlet else STATUSES}:{outlet}"
