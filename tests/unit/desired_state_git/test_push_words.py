"""What hosts say of a push that they did not take: someone was quicker, they are unwell, or they do not let us."""

import pytest

from desired_state.git_errors import GitError, GitRefused, GitRejected, GitUnreachable, explain

URL = "https://git.example.com/fleets.git"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("!\tabc:refs/heads/main\t[rejected] (stale info)", GitRejected),
        ("!\tabc:refs/heads/main\t[rejected] (fetch first)", GitRejected),
        ("!\tabc:refs/heads/main\t[remote rejected] (cannot lock ref 'refs/heads/main': is at 1)", GitRejected),
        ("!\tabc:refs/heads/main\t[remote rejected] (failed to update ref)", GitRejected),
        ("!\tabc:refs/heads/main\t[remote rejected] (incorrect old value provided)", GitRejected),
        ("!\tabc:refs/heads/fairlead/x\t[remote rejected] (reference already exists)", GitRejected),
        ("!\tabc:refs/heads/main\t[remote rejected] (Internal Server Error)", GitUnreachable),
        ("error: RPC failed; HTTP 502\nfatal: the remote end hung up unexpectedly", GitUnreachable),
        ("!\tabc:refs/heads/main\t[remote rejected] (pre-receive hook declined)", GitRefused),
        ("!\tabc:refs/heads/main\t[remote rejected] (protected branch hook declined)", GitRefused),
    ],
)  # fmt: skip
def test_a_refusal_is_told_apart_from_a_race_and_from_trouble(said: str, kind: type[GitError]) -> None:
    assert kind is type(explain("push", URL, said))


def test_the_hosts_own_words_are_repeated_in_one_line_without_addresses_and_escapes() -> None:
    said = (
        "remote: error: GH006: Protected branch update failed for refs/heads/main.        \n"
        "remote: error: At least 1 approving review is required. See http://10.0.0.7/rules \x1b[2J\n"
        "To https://git.example.com/fleets.git\n"
        "!\tabc:refs/heads/main\t[remote rejected] (protected branch hook declined)\n"
    )

    told = str(explain("push", URL, said))

    words = (
        "GH006: Protected branch update failed for refs/heads/main.; "
        "At least 1 approving review is required. See (an address)"
    )
    assert told.startswith(f"{URL} takes no push from us ({words}")
    assert told.isprintable()
