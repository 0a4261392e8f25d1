"""The examples for CI are read as their systems read them, and their commands are run against a real repository."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fairlead.cli import app
from fairlead.settings import load

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "deploy" / "examples"
# The forge's part: whatever reaches the branch is told to be well in both environments.
CONTROLLER = """\
#!/bin/sh
while read old new ref; do
  [ "$ref" = refs/heads/main ] || continue
  git -c user.name=f -c user.email=f@localhost notes --ref=fairlead add -m \
"success  fairlead/staging/checkout  at its version  (2026-11-23T20:15:03Z)
success  fairlead/prod/checkout  at its version  (2026-11-23T20:15:03Z)" "$new"
done
"""


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    return found


def in_actions() -> list[str]:
    return [step["run"].strip() for step in workflow()["jobs"]["deploy"]["steps"] if "run" in step]


def in_jenkins() -> list[str]:
    return re.findall(r"^ *sh '([^']+)'$", (EXAMPLES / "Jenkinsfile").read_text(), re.M)


def on_the_page() -> list[str]:
    page = (ROOT / "docs" / "ci-examples.md").read_text()
    (block,) = re.findall(r"^```bash\n(.*?)^```$", page, re.M | re.S)
    return block.splitlines()


def as_the_shell_calls(commands: list[str]) -> list[list[str]]:
    """The arguments that the program gets, as a real shell makes them of the lines."""
    variables = {"TAG": "v1.4.2", "VERSION": "1.4.2", "RUN": "run 7", "BUILD_URL": "run 7"}
    script = "\n".join(("set -eu", "fairlead() { printf '%s\\0' \"$@\"; printf '\\n'; }", *commands))
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, check=True)
    return [line.split("\0")[:-1] for line in done.stdout.splitlines()]


def test_all_examples_call_the_same_commands() -> None:
    wanted = as_the_shell_calls(on_the_page())

    assert [wanted, wanted] == [as_the_shell_calls(in_actions()), as_the_shell_calls(in_jenkins())]


def test_a_build_has_more_time_than_its_steps_may_wait() -> None:
    waits = sum(int(args[args.index("--timeout") + 1].removesuffix("m")) for args in as_the_shell_calls(in_actions()))
    (jenkins,) = re.findall(r"timeout\(time: (\d+), unit: 'MINUTES'\)", (EXAMPLES / "Jenkinsfile").read_text())

    assert waits < min(workflow()["jobs"]["deploy"]["timeout-minutes"], int(jenkins))


def test_the_commands_bring_a_version_to_prod(desired: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = desired.server.path("desired") / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(CONTROLLER)
    hook.chmod(0o755)
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nurl = "{desired.url}"\n')
    monkeypatch.setenv("FAIRLEAD_CONFIG", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")

    done = [CliRunner().invoke(app, args) for args in as_the_shell_calls(on_the_page())]

    assert [0, 0] == [each.exit_code for each in done], [each.stderr for each in done]
    desired.clone.git("fetch", "--quiet", "origin", "main")
    assert "version: 1.4.2" == desired.clone.git("show", "FETCH_HEAD:environments/prod/checkout.yaml")
    assert "Ada" == desired.clone.git("log", "-1", "--format=%an", "FETCH_HEAD")
    assert "Built by run 7" in desired.clone.git("log", "-1", "--format=%b", "FETCH_HEAD")


def test_no_script_of_the_workflow_holds_an_expression() -> None:
    assert [] == [command for command in in_actions() if "${{" in command]


def test_the_settings_of_the_examples_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TOKEN", "t0ken")

    assert ["main"] == [each.name for each in load(EXAMPLES / "fairlead.toml").repositories]
