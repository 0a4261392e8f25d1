"""What the shared state of a forge has to know of the vendor that it plays."""

from dataclasses import dataclass
from typing import Literal

from fairlead_sandbox.forge.statuses import Rules

Name = Literal["github", "gitlab", "gitea"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Names and places. `pull_ref` has a `{}` for the number."""

    name: Name
    prefix: str  # of the API's paths
    pull_ref: str
    token_prefix: str
    statuses: Rules
    pings: bool = False  # a new webhook is told of itself


VENDORS = {
    "github": Vendor(
        name="github",
        prefix="/api/v3",
        pull_ref="refs/pull/{}/head",
        token_prefix="ghp_",
        statuses=Rules(folds=True, most=1000),  # REST API, "Commit statuses"
        pings=True,
    ),
    "gitlab": Vendor(
        name="gitlab",
        prefix="/api/v4",
        pull_ref="refs/merge-requests/{}/head",
        token_prefix="glpat-",
        statuses=Rules(),
    ),
    "gitea": Vendor(  # models/git/commit_status.go keeps them by the hash of their context, without an end
        name="gitea",
        prefix="/api/v1",
        pull_ref="refs/pull/{}/head",
        token_prefix="",
        statuses=Rules(),
    ),
}
