"""The keys of intents: unique over all time and stable over a lost ledger (DESIGN 3.4).

`fairlead:<repository>:<fleet>:<commit 12>:<target digest 12>:<unit>:w<wave>:a<attempt>`.
"""

from reconciler.work import Intent, Release


def identity_key(repository: str, release: Release) -> str:
    """The identity of an intent, stable over a lost ledger."""
    commit, target = release.setting_commit[:12], release.target_digest[:12]
    return f"fairlead:{repository}:{release.fleet.name}:{commit}:{target}"


def base_key(repository: str, release: Release, unit: str) -> str:
    """What all attempts on one unit towards one release begin with."""
    return f"{identity_key(repository, release)}:{unit}"


def attempts_key(intent: Intent) -> str:
    """The base key of an intent, under which its attempt is remembered."""
    release = Release(fleet=intent.fleet, setting_commit=intent.setting_commit)
    return base_key(intent.repository, release, intent.unit)
