"""What a played GitHub has beside statuses: comments, deployments, tags and pull requests, as GitHub documents them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Said = tuple[int, Mapping[str, str], Any]
REPO = r"(?:/api/v3)?/repos/(?P<project>[^/]+/[^/]+)"
NOT_FOUND: Said = (404, {}, {"message": "Not Found"})
STATES = {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One request, taken apart. `url` is the played server's own."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    login: str
    url: str

    @classmethod
    def of(cls, method: str, target: str, body: Any, login: str, url: str) -> "Wish":
        parts = urlsplit(target)
        return cls(method=method, path=parts.path, query=dict(parse_qsl(parts.query)), body=body, login=login, url=url)


@dataclass
class Places:
    """`pulls` are made by `pull_request`; tags by name, and objects of annotated tags by their own SHA."""

    repositories: set[str] = field(default_factory=lambda: {"acme/desired", "acme/checkout"})
    comments: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, tuple[str, str]] = field(default_factory=dict)
    tag_objects: dict[str, tuple[str, str]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    commits: set[str] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    ids: int = 100

    def comment(self, pull: int, login: str, body: str) -> dict[str, Any]:
        self.ids += 1
        made = {"id": self.ids, "pull": pull, "user": {"login": login, "id": 1, "type": "User"}, "body": body}
        self.comments.append(made)
        return made

    def bodies(self, pull: int, login: str) -> list[str]:
        """What an account has said under a pull request."""
        return [each["body"] for each in self.comments if (each["pull"], each["user"]["login"]) == (pull, login)]

    def pull_request(self, number: int, **changes: Any) -> dict[str, Any]:
        home = {"repo": {"id": 1, "full_name": "acme/desired", "fork": False}}
        made = {
            "number": number,
            "state": "open",
            "title": f"Bump {number}",
            "user": {"login": "ada", "id": 7, "type": "User"},
            "html_url": f"https://github.com/acme/desired/pull/{number}",
            "merged_at": None,
            "merge_commit_sha": "fe" * 20,
            "commits": 3,
            "head": {"ref": f"bump-{number}", "sha": f"{number:040x}", **home},
            "base": {"ref": "main", "sha": "ab" * 20, **home},
        }
        self.pulls.insert(0, made | changes)
        return self.pulls[0]

    def act(self, wish: Wish) -> Said:
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, wish.path)
            if found and method == wish.method:
                project = found.groupdict().get("project")
                if project is not None and project.lower() not in self.repositories:
                    return NOT_FOUND
                return answer(self, wish, found.groupdict())
        return NOT_FOUND


def _page(wish: Wish, rows: Sequence[Any]) -> Said:
    """With `Link`, as GitHub pages."""
    many, page = min(int(wish.query.get("per_page", 30)), 100), int(wish.query.get("page", 1))
    rest = rows[page * many :]
    query = "&".join(f"{name}={value}" for name, value in {**wish.query, "page": str(page + 1)}.items())
    first = f'<{wish.url}{wish.path}?page=1>; rel="first"'
    link = f'{first}, <{wish.url}{wish.path}?{query}>; rel="next"' if rest else first
    return 200, {"Link": link}, list(rows[(page - 1) * many : page * many])


def _invalid(message: str) -> Said:
    return 422, {}, {"message": "Validation Failed", "errors": [{"code": "custom", "message": message}]}


def _user(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    if wish.login.endswith("[bot]"):
        return 403, {}, {"message": "Resource not accessible by integration"}
    return 200, {}, {"login": wish.login, "id": 7, "type": "User"}


def _comments(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    if int(found["pull"]) > 1000:
        return NOT_FOUND
    return _page(wish, [each for each in places.comments if each["pull"] == int(found["pull"])])


def _add_comment(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    if int(found["pull"]) in places.locked:
        return 403, {}, {"message": "Unable to create comment because issue is locked."}
    if len(wish.body["body"]) > 65_536:
        return _invalid("Body is too long (maximum is 65536 characters)")
    return 201, {}, places.comment(int(found["pull"]), wish.login, wish.body["body"])


def _change_comment(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    for each in places.comments:
        if each["id"] == int(found["id"]):
            each["body"] = wish.body["body"]
            return 200, {}, each
    return NOT_FOUND


def _deployments(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    wanted = {name: wish.query[name] for name in ("sha", "environment", "task") if name in wish.query}
    here = [each for each in reversed(places.deployments) if each["project"] == found["project"]]
    return _page(wish, [each for each in here if all(each[name] == value for name, value in wanted.items())])


def _add_deployment(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    body = wish.body
    if body["ref"] not in places.commits:
        return 422, {}, {"message": f"No ref found for: {body['ref']}"}
    if body.get("auto_merge", True) or body.get("required_contexts") != []:
        return 409, {}, {"message": "Conflict: Commit status checks failed for main."}
    places.ids += 1
    made = {**body, "id": places.ids, "sha": body["ref"], "project": found["project"], "statuses": []}
    places.deployments.append(made)
    return 201, {}, made


def _tell_deployment(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    made = next((each for each in places.deployments if each["id"] == int(found["id"])), None)
    if made is None:
        return NOT_FOUND
    if wish.body["state"] not in STATES or len(wish.body.get("description", "")) > 140:
        return _invalid("state is not included in the list, or description is too long")
    made["statuses"].append(wish.body)
    if wish.body["state"] == "success" and wish.body.get("auto_inactive", True):
        for other in places.deployments:
            same = (other["project"], other["environment"]) == (made["project"], made["environment"])
            done = bool(other["statuses"]) and other["statuses"][-1]["state"] == "success"
            if same and done and other["id"] < made["id"] and not other["production_environment"]:
                other["statuses"].append({"state": "inactive"})
    return 201, {}, {"id": 1, **wish.body}


def _ref(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    kind, sha = places.tags.get(unquote(found["tag"]), ("", ""))
    if not kind:
        return NOT_FOUND
    return 200, {}, {"ref": f"refs/tags/{found['tag']}", "object": {"type": kind, "sha": sha}}


def _tag(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    kind, sha = places.tag_objects.get(found["sha"], ("", ""))
    return (200, {}, {"sha": found["sha"], "object": {"type": kind, "sha": sha}}) if kind else NOT_FOUND


def _pulls(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    state, head = wish.query.get("state", "open"), wish.query.get("head", "")
    shown = [
        each
        for each in places.pulls
        if each["state"] == state
        and each["base"]["ref"] == wish.query.get("base", each["base"]["ref"])
        and head in {"", f"acme:{each['head']['ref']}"}
    ]
    return _page(wish, [{name: value for name, value in each.items() if name != "commits"} for each in shown])


def _pull(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    return next(((200, {}, each) for each in places.pulls if each["number"] == int(found["number"])), NOT_FOUND)


def _open_pull(places: Places, wish: Wish, found: Mapping[str, str]) -> Said:
    body = wish.body
    if any((each["state"], each["head"]["ref"]) == ("open", body["head"]) for each in places.pulls):
        return _invalid(f"A pull request already exists for acme:{body['head']}.")
    made = places.pull_request(len(places.pulls) + 1, title=body["title"])
    made["head"]["ref"], made["base"]["ref"] = body["head"], body["base"]
    return 201, {}, made


_ROUTES: Sequence[tuple[str, str, Callable[[Places, Wish, Mapping[str, str]], Said]]] = (
    ("GET", r"(?:/api/v3)?/user", _user),
    ("GET", REPO + r"/issues/(?P<pull>\d+)/comments", _comments),
    ("POST", REPO + r"/issues/(?P<pull>\d+)/comments", _add_comment),
    ("PATCH", REPO + r"/issues/comments/(?P<id>\d+)", _change_comment),
    ("GET", REPO + r"/deployments", _deployments),
    ("POST", REPO + r"/deployments", _add_deployment),
    ("POST", REPO + r"/deployments/(?P<id>\d+)/statuses", _tell_deployment),
    ("GET", REPO + r"/git/ref/tags/(?P<tag>.+)", _ref),
    ("GET", REPO + r"/git/tags/(?P<sha>[0-9a-f]+)", _tag),
    ("GET", REPO + r"/pulls", _pulls),
    ("GET", REPO + r"/pulls/(?P<number>\d+)", _pull),
    ("POST", REPO + r"/pulls", _open_pull),
)
# What a token of an App needs for each path (docs.github.com, "Permissions required for GitHub Apps").
RIGHTS: Sequence[tuple[str, str, str]] = (
    (r".*/statuses/[0-9a-f]+", "statuses", "write"),
    (r".*/issues/.*", "pull_requests", "write"),
    (r".*/deployments.*", "deployments", "write"),
    (r".*/git/.*", "contents", "read"),
    (r".*/pulls.*", "pull_requests", "read"),
)
