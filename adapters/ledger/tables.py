"""The ledger's tables as they are now. `migrations/` brings a database here; a test compares the two.

Times are microseconds since 1970 (`dialects.micros`). JSON is text, written and read by `codec`. How long rows are kept
stands in `retention.py`.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, UniqueConstraint, and_, or_

from adapters.ledger.dialects import Words

metadata = MetaData()
_Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts by itself only in an INTEGER


def _text(name: str, *, optional: bool = False, key: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, Words, nullable=optional, primary_key=key, server_default=default)


def _number(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=optional)


def _serial() -> Column[int]:
    return Column("id", _Serial, primary_key=True, autoincrement=True)


# Names that are due (DESIGN 6). `family` is the key's part before the colon: an equality that any index and collation
# serves, where a prefix search is not.
queue = Table(
    "queue",
    metadata,
    _text("key", key=True),
    _text("family"),
    _number("due"),
    _number("mark"),
    _text("owner", optional=True),
    _number("lease_until", optional=True),
    _number("attempts"),
    _number("wished", optional=True),  # the earliest time that a mark asked for since the name was claimed
    Index("queue_family_due", "family", "due"),
    Index("queue_due", "due"),
    Index("queue_lease_until", "lease_until"),
)

# One row: the step that a version must know to work here. Steps that only add leave it; one that drops raises it.
overlap = Table("overlap", metadata, _text("oldest", key=True))

repositories = Table("repositories", metadata, _text("name", key=True), _text("head"), _number("read_at"))

# One row a fleet. `memory` down to `target_version` is written by passes, the rest by reads of its repository.
fleets = Table(
    "fleets",
    metadata,
    _text("name", key=True),
    _text("repository"),
    _text("environment"),
    _text("short_name"),
    Column("present", Boolean, nullable=False),
    _text("revision"),
    _number("generation"),
    _text("desired", optional=True),
    _text("desired_digest", optional=True),
    _text("target_digest", optional=True),
    _text("spec_digest", optional=True),
    _text("setting", optional=True),
    _text("setting_commit", optional=True),
    _text("problems"),
    _text("rival", optional=True),  # another repository that declares the same name; it is not heard
    _text("memory", optional=True),
    _text("state"),
    Column("ready", Boolean, nullable=False),
    _text("reason"),
    _text("message"),
    _text("target_version"),
    _number("version"),
    _number("created_at"),
    _number("changed_at"),
    Index("fleets_repository", "repository"),
    Index("fleets_setting_commit", "setting_commit"),
    Index("fleets_environment", "environment", "short_name"),
)

intents = Table(
    "intents",
    metadata,
    _text("key", key=True),
    _text("fleet"),
    _text("repository"),
    _text("setting_commit"),
    _text("target_digest"),
    _text("unit"),
    _number("wave"),
    _number("attempt"),
    _text("phase"),
    _text("ticket", optional=True),
    _text("outcome"),
    _number("created_at"),
    _number("ended_at", optional=True),
    Index("intents_fleet", "fleet", "ended_at"),
    Index("intents_ended_at", "ended_at"),
)

snapshots = Table(
    "snapshots",
    metadata,
    _text("fleet", key=True),
    _text("feed", key=True),
    _text("digest"),
    _text("body"),
    _number("read_at"),
    Index("snapshots_feed", "feed"),
)

feeds = Table(
    "feeds",
    metadata,
    _text("name", key=True),
    _number("read_at", optional=True),
    _text("trouble", optional=True),
    _number("tried_at"),
)

# What hosts report, the newest of each: the `hosts` of a snapshot, a row each, because a minute changes few of many.
# `number`, `at` and `sent` move with every report; the digest is over the rest.
reports = Table(
    "reports",
    metadata,
    _text("fleet", key=True),
    _text("feed", key=True),
    _text("host", key=True),
    _text("digest"),
    _text("body"),
    _number("number"),
    _number("at"),  # by the host's clock
    _number("sent"),
    _number("silent_at"),  # from then on the host is silent, unless it speaks again
    Index("reports_silent_at", "feed", "silent_at"),
)

# The outbox: the newest word for each commit and context of an outlet, which `repository` names
# (`reconciler/outlets.py`): under a repository's own name stand the own statuses of its commits and nothing else.
# `sequence` counts the words, `delivered_sequence` names the newest that the forge confirmed; `refused` is why the
# forge will not take the present word, `waits_for` why it was put off. `sent_at`: taken up to be told, and not settled.
# `doubtful_until`: until then something sent earlier may still reach the forge (`telling.py`). `said_for`: the commit
# whose word this one repeats on a head (`heads.py`). `told_on`: the commit that a tag meant when a word was first told
# there. `absent_since`: since when the forge says that the commit is not there.
statuses = Table(
    "statuses",
    metadata,
    _serial(),
    _text("repository"),
    Column("commit", Words, nullable=False, quote=True),
    _text("context"),
    _text("state"),
    _text("description"),
    _text("target_url"),
    _number("at", optional=True),
    _number("sequence"),
    _number("delivered_sequence"),
    _number("attempts"),
    _number("next_try", optional=True),
    _text("refused", optional=True),
    _number("said_at"),
    _number("sent_at", optional=True),
    _number("doubtful_until", optional=True),
    _text("medium", default="status"),
    _text("project", default=""),
    _text("body", default=""),
    _text("said_for", default=""),
    _number("delivered_at", optional=True),
    _text("waits_for", optional=True),
    _text("told_on", optional=True),
    _number("absent_since", optional=True),
    UniqueConstraint("repository", "commit", "context", name="statuses_once"),
    Index("statuses_context", "repository", "context"),
    Index("statuses_state", "repository", "state"),
    Index("statuses_said_at", "said_at"),
)
# The same words in a query's WHERE are what lets an engine use a partial index.
IS_TO_BE_TOLD = and_(
    statuses.c.refused.is_(None),
    or_(statuses.c.sequence > statuses.c.delivered_sequence, statuses.c.doubtful_until.is_not(None)),
)
Index("statuses_to_be_told", statuses.c.repository, postgresql_where=IS_TO_BE_TOLD, sqlite_where=IS_TO_BE_TOLD)
IS_REFUSED = statuses.c.refused.is_not(None)
Index("statuses_refused", statuses.c.repository, postgresql_where=IS_REFUSED, sqlite_where=IS_REFUSED)

# A commit's own words on commits of this repository: what is decided from. Copies and other mediums only leave here.
IS_OWN = and_(statuses.c.medium == "status", statuses.c.project == "", statuses.c.said_for == "")

# The head of the merged pull request that a commit of the branch came from.
heads = Table(
    "heads",
    metadata,
    _text("repository", key=True),
    Column("commit", Words, primary_key=True, quote=True),
    _text("head"),
    _number("pull", optional=True),
    _number("recorded_at"),
    Index("heads_head", "repository", "head"),
)

# What forges let us write, by account: its rests and troubles in a row, and its writes of the last while.
budgets = Table(
    "budgets",
    metadata,
    _text("name", key=True),
    _number("rests_until"),
    _text("why"),
    _number("strikes"),
    _number("used_at"),
)

forge_writes = Table(
    "forge_writes",
    metadata,
    _serial(),
    _text("budget"),
    _number("at"),
    Index("forge_writes_budget", "budget", "at"),
    Index("forge_writes_at", "at"),
)

# Append-only, hash-chained per fleet: `hash` covers the line and `previous`.
events = Table(
    "events",
    metadata,
    _serial(),
    _text("fleet"),
    _number("sequence"),
    _text("kind"),
    _text("message"),
    _number("at"),
    _text("data"),
    _text("previous"),
    _text("hash"),
    UniqueConstraint("fleet", "sequence", name="events_once"),
    Index("events_at", "at"),
)

# Where each fleet's chain begins (after pruning) and ends, so that lines missing at either end are noticed.
chains = Table(
    "chains",
    metadata,
    _text("fleet", key=True),
    _number("first_sequence"),  # the number before the oldest line that is kept
    _text("first_hash"),
    _number("last_sequence"),
    _text("last_hash"),
)

requests = Table(
    "requests",
    metadata,
    _serial(),
    _text("fleet"),
    _text("ask"),
    Column("by", Words, nullable=False, quote=True),
    _number("at"),
    _number("done_at", optional=True),
    Index("requests_fleet", "fleet", "done_at"),
)
