"""Where an application's own changes between two versions are shown at the forge: a page that every dialect has."""

import re
from collections.abc import Callable

from desired_state.changes import Change
from reconciler.reviews import Pull

_PROJECT = re.compile(r"[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){1,20}")


def between(pull: Pull, own: str, project: str, before: str, after: str) -> str:
    """The address that compares two tags of `project`; "" where there is none.

    `own` is the name of the repository that the pull request is of: what stands before it in the pull request's own
    address is the forge. GitHub and Gitea show `/compare/a...b`, GitLab `/-/compare/a...b`.
    """
    forge, found, rest = pull.url.partition(f"/{own}/")
    is_web = forge.startswith(("https://", "http://")) and forge.isprintable() and " " not in forge
    if not (own and found and is_web and _PROJECT.fullmatch(project) and ".." not in project):
        return ""
    if not before or not after or before == after:
        return ""
    middle = "/-/compare/" if rest.startswith("-/") else "/compare/"
    return f"{forge}/{project}{middle}{_tag(before)}...{_tag(after)}"


def source_links(own: str) -> Callable[[Pull, Change], str]:
    """For pull requests of `own`: by the service's `source`, where the pull request leaves that as it is."""

    def compared(pull: Pull, change: Change) -> str:
        before, after = change.before, change.after
        if before is None or after is None or after.source is None or before.source != after.source:
            return ""
        refs = (after.source.ref(fleet.version) for fleet in (before, after))
        return between(pull, own, after.source.repository, *refs)

    return compared


def _tag(ref: str) -> str:
    return ref.removeprefix("refs/tags/")
