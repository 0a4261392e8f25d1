"""What can go wrong between us and a repository, as one sentence that names the fix. Git's words are only quoted."""

import re
from dataclasses import dataclass


class GitError(Exception):
    """Something with a repository did not work; the text is for a person and holds no secret."""


class GitUnreachable(GitError):
    """The repository's host did not answer, or not in time: trying again later may help."""


class GitRefused(GitError):
    """The host or git said no: someone has to change something before trying again helps."""


class GitRejected(GitRefused):
    """The branch moved while we wrote: read it again and write again."""


class MirrorBroken(GitRefused):
    """Our own copy cannot be read: it has to be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Words of git's, and the sentence for them. The first rule that fits is taken."""

    words: str
    error: type[GitError]
    sentence: str  # with {url}, {quote}
    verbs: frozenset[str] = frozenset()  # empty: any
    remote_only: bool = False
    in_its_words: bool = False  # the host's own lines say more than git's


_PUSH = frozenset({"push"})
_RULES = (
    _Rule(
        # The last two are what a server of git 2.50 or newer says of a ref that another push changed (git's refs.c).
        words=r"stale info|fetch first|non-fast-forward|cannot lock ref|failed to update ref"
        r"|incorrect old value provided|reference already exists",
        error=GitRejected,
        sentence="{url} moved on while we wrote to it: read it again and try again",
        verbs=_PUSH,
    ),
    _Rule(
        words=r"remote rejected.*internal server error",
        error=GitUnreachable,
        sentence="{url} could not take a push ({quote}): wait, and try again",
        verbs=_PUSH,
    ),
    _Rule(
        words=r"hook declined|protected branch|remote rejected|\[rejected\]",
        error=GitRefused,
        sentence="{url} takes no push from us ({quote}): allow it, or open a pull request instead",
        verbs=_PUSH,
        in_its_words=True,
    ),
    _Rule(
        words=r"couldn't find remote ref|Remote branch .* not found",
        error=GitRefused,
        sentence="{url} has no such branch yet ({quote}): push a first commit to it, or set `branch`",
    ),
    _Rule(
        words=r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied"
        r"|returned error: 40[13]|Access denied|Host key verification failed",
        error=GitRefused,
        sentence="{url} does not let us in ({quote}): check the repository's `auth`",
    ),
    _Rule(
        words=r"Could not resolve|Failed to connect|Couldn't connect|Connection (refused|reset|timed out|closed)"
        r"|timed out|returned error: (5\d\d|429)|Operation too slow|Empty reply|early EOF|hung up unexpectedly"
        r"|Network is unreachable|No route to host|RPC failed",
        error=GitUnreachable,
        sentence="{url} cannot be reached ({quote}): check the address and the network, or wait",
        remote_only=True,
    ),
    _Rule(
        words=r"redirect|returned error: 3\d\d",
        error=GitRefused,
        sentence="{url} points elsewhere ({quote}): write the new address into the settings",
    ),
    _Rule(
        words=r"repository .*not found|does not appear to be a git repository|returned error: 404|does not exist"
        r"|No such file or directory",
        error=GitRefused,
        sentence="there is no repository at {url} that we may see ({quote}): check `url` and `auth`",
        verbs=frozenset({"fetch", "ls-remote", "push"}),
    ),
    _Rule(
        words=r"corrupt|bad object|is empty|missing (blob|tree|commit|object)|unable to read|loose object|bad config"
        r"|bad tree|not a git repository|did not send all necessary objects|garbage|index-pack|unable to parse"
        r"|not a valid object|not a tree object",
        error=MirrorBroken,
        sentence="the mirror of {url} cannot be read ({quote}): the next fetch makes it again",
    ),
)


def explain(verb: str, url: str, said: str, *, local: bool = False) -> GitError:
    """The error for what git said on `git <verb>` with `url`. `said` is already without secrets."""
    for rule in _RULES:
        fits = (not rule.verbs or verb in rule.verbs) and not (local and rule.remote_only)
        if fits and re.search(rule.words, said, re.IGNORECASE):
            quote = (_remote_words(said) if rule.in_its_words else "") or _quote(said)
            return rule.error(rule.sentence.format(url=url, quote=quote))
    return GitRefused(f"git {verb} failed for {url} ({_quote(said)})")


def _remote_words(said: str) -> str:
    """What the host itself said, in one line and without addresses."""
    lines = re.findall(r"^remote: *(?:(?:fatal|error): *)?(.*\S)", said, re.MULTILINE)
    shown = "".join(each if each.isprintable() else " " for each in "; ".join(lines))
    return re.sub(r"\w+://\S+", "(an address)", shown)[:200]


def _quote(said: str) -> str:
    """The line of git's words that says most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(fatal|error|remote|!)", line)] or lines or ["no reason given"]
    fatal = [line for line in telling if line.startswith(("fatal", "!"))] or telling
    return re.sub(r"^(fatal|error|remote): *", "", fatal[0])[:200]
