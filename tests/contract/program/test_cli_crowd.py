"""Twenty commands at once, each a process: every change is there, none is lost, none is made twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CROWD = Path(__file__).parent / "crowd.py"


def test_twenty_bumps_at_once_are_twenty_commits(desired: Any, tmp_path: Path) -> None:
    """On five machines: four commands of each share its state folder."""
    names = [f"service-{number}" for number in range(20)]
    desired.change({f"environments/prod/{name}.yaml": f"# {name}\nversion: 1.0.0\n" for name in names})
    before = int(desired.clone.git("rev-list", "--count", "HEAD"))
    commands = []
    for number, name in enumerate(names):
        config = tmp_path / f"{name}.toml"
        state = tmp_path / f"machine-{number % 5}"
        config.write_text(f'state = "{state}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
        commands.append(["bump", name, "1.0.1", "--env", "prod", "--config", str(config)])
    plan = tmp_path / "commands.json"
    plan.write_text(json.dumps(commands))

    done = subprocess.run([sys.executable, str(CROWD), str(plan)], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    desired.clone.git("fetch", "--quiet", "origin", "main")
    assert before + 20 == int(desired.clone.git("rev-list", "--count", "FETCH_HEAD"))
    subjects = desired.clone.git("log", "--format=%s", "-20", "FETCH_HEAD").splitlines()
    assert sorted(f"prod/{name}: 1.0.0 -> 1.0.1" for name in names) == sorted(subjects)
    texts = {name: desired.clone.git("show", f"FETCH_HEAD:environments/prod/{name}.yaml") for name in names}
    assert {name: f"# {name}\nversion: 1.0.1" for name in names} == texts
