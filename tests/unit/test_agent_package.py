"""The agent's zipapp and its Debian package: what is in them, that they are always the same, and that they begin."""

import ast
import base64
import configparser
import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deploy.agent import parts
from deploy.agent.__main__ import build, main
from deploy.agent.archive import zipped
from deploy.agent.deb import Content, packed
from fairlead_agent.itself import PROGRAM, UNIT
from fairlead_agent.settings import BadSettings, read_settings

ROOT = Path(__file__).parents[2]
HOME = ROOT / "deploy" / "agent"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The zipapp and the package, of what is installed here."""
    return build(tmp_path_factory.mktemp("dist"), "9.8.7", _architecture(), here=True)


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def run(pyz: Path, cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"CACHE_DIRECTORY": str(cache), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-I", "-S", str(pyz), *words]  # -S: no site-packages at all
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """`small(version, pythons=...)`: a zipapp that begins as the real one does, and only says its version."""

    def make(version: str = "1.0.0", pythons: Sequence[str] = parts.PYTHONS) -> Path:
        program = f"def main():\n    print('small {version}')\n    return 0\n"
        carried = {"fairlead_agent/__init__.py": b"", "fairlead_agent/cli.py": program.encode()}
        path = tmp_path / f"small-{version}.pyz"
        path.write_bytes(zipped(carried, version, pythons, [os.uname().machine], 0))
        return path

    return make


def folder_in(cache: Path) -> Path:
    (lock,) = cache.glob("*.lock")
    return lock.with_suffix("")


# ── the zipapp ──


def test_it_says_its_version_from_its_own_parts(built: tuple[Path, Path], tmp_path: Path) -> None:
    ended = run(built[0], tmp_path / "cache", "--version")

    assert ("fairlead-agent 9.8.7\n", 0) == (ended.stdout, ended.returncode)
    assert 0o700 == stat.S_IMODE((tmp_path / "cache").stat().st_mode)


def test_all_that_it_loads_is_its_own(built: tuple[Path, Path], tmp_path: Path) -> None:
    """No module of the host's site-packages: it would work here, and not on an instance."""
    run(built[0], tmp_path / "cache", "--version")
    folder = folder_in(tmp_path / "cache")
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); import fairlead_agent.agent, fairlead_agent.cloud\n"
    program += "from adapters.agent_protocol.signing import new_key; new_key('a')\n"
    program += "s = fairlead_agent.cloud.Cloud('us-east-1')\n"
    program += f"import botocore.session\nfor one in {parts.SERVICES!r}: botocore.session.get_session().create_client("
    program += "one, region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b')\n"
    program += "print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)), sep='\\n')"

    ended = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stderr
    assert [] == [path for path in ended.stdout.split() if "site-packages" in path]


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_what_was_changed_or_cut_off_in_its_folder_is_laid_anew(
    small: Callable[..., Path], tmp_path: Path, harm: str
) -> None:
    cache, pyz = tmp_path / "cache", small()
    run(pyz, cache)
    program = folder_in(cache) / "fairlead_agent" / "cli.py"
    program.unlink() if harm == "gone" else program.write_text("raise SystemExit(77)")

    ended = run(pyz, cache)

    assert ("small 1.0.0\n", 0) == (ended.stdout, ended.returncode)


HARM: dict[str, Callable[[Path], object]] = {
    "cut off": lambda compiled: os.truncate(compiled, compiled.stat().st_size - 10),
    "emptied": lambda compiled: os.truncate(compiled, 0),
    "other code": lambda compiled: shutil.copy(compiled.with_name(compiled.name.replace("cli", "__init__")), compiled),
    "gone": lambda compiled: compiled.unlink(),
    "without its list": lambda compiled: (compiled.parents[2] / "compiled.json").unlink(),
    "with a list of nonsense": lambda compiled: (compiled.parents[2] / "compiled.json").write_text("[1]"),
    "added to": lambda compiled: (compiled.parents[2] / "json.py").write_text("raise SystemExit(77)"),
}


@pytest.mark.parametrize("harm", sorted(HARM))
def test_what_was_compiled_is_laid_anew_where_it_was_damaged(
    small: Callable[..., Path], tmp_path: Path, harm: str
) -> None:
    cache, pyz = tmp_path / "cache", small()
    run(pyz, cache)
    (compiled,) = folder_in(cache).glob("fairlead_agent/__pycache__/cli.*.pyc")
    whole = contents(folder_in(cache))
    HARM[harm](compiled)

    ended = run(pyz, cache)

    assert ("small 1.0.0\n", 0, "") == (ended.stdout, ended.returncode, ended.stderr)
    assert whole == contents(folder_in(cache))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_laid_once_is_not_laid_again(small: Callable[..., Path], tmp_path: Path) -> None:
    cache, pyz = tmp_path / "cache", small()
    run(pyz, cache)
    before = {path: path.stat().st_ino for path in folder_in(cache).rglob("*")}

    run(pyz, cache)

    assert before == {path: path.stat().st_ino for path in folder_in(cache).rglob("*")}


def test_what_was_changed_while_an_agent_runs_from_it_is_told_and_not_touched(
    small: Callable[..., Path], tmp_path: Path
) -> None:
    cache, pyz = tmp_path / "cache", small()
    run(pyz, cache)
    program = folder_in(cache) / "fairlead_agent" / "cli.py"
    program.write_text("raise SystemExit(77)")
    with folder_in(cache).with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)

        ended = run(pyz, cache)

    assert 2 == ended.returncode
    assert "was changed while an agent runs from it; end that one first" in ended.stderr
    assert "raise SystemExit(77)" == program.read_text()


def test_a_folder_that_others_may_write_to_is_not_used(small: Callable[..., Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)

    ended = run(small(), cache)

    assert 2 == ended.returncode
    assert f"fairlead-agent: {cache} must be a folder of this user's, and nobody else's to write to" in ended.stderr


def test_another_python_is_told_in_one_sentence(small: Callable[..., Path], tmp_path: Path) -> None:
    ended = run(small(pythons=["3.99"]), tmp_path / "cache")

    assert 2 == ended.returncode
    assert re.fullmatch(
        r"fairlead-agent: this package is built for Python 3\.99 on .*; take another one\n", ended.stderr
    )


def test_what_no_agent_runs_from_any_more_is_thrown_away(small: Callable[..., Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for version in ("1.0.0", "2.0.0", "3.0.0", "3.0.0"):
        assert f"small {version}\n" == run(small(version), cache).stdout

    kept = "".join(path.read_text() for path in cache.glob("*/fairlead_agent/cli.py"))

    assert ["2.0.0", "3.0.0"] == sorted(re.findall(r"small (\S+)'", kept))


# ── what is in it ──


def test_the_same_is_built_again(built: tuple[Path, Path], tmp_path: Path) -> None:
    again = build(tmp_path, "9.8.7", _architecture(), here=True)

    assert [path.read_bytes() for path in built] == [path.read_bytes() for path in again]


def test_it_carries_every_dependency_of_the_agent_as_it_is_locked() -> None:
    """What is imported, and what that needs: nothing is fetched on an instance."""
    sources = [*(ROOT / "cmd/fairlead_agent").rglob("*.py"), *(ROOT / "adapters/agent_protocol").glob("*.py")]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    imported = {each.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for each in node.names}
    imported |= {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = imported - set(sys.stdlib_module_names) - {"adapters", "fairlead_agent"}

    assert {"botocore", "cryptography", "yaml"} == foreign
    assert set(parts.NEEDED) == set(parts.pinned())
    assert all("--hash=sha256:" in pin.text for pin in parts.pinned().values())


def test_it_carries_the_data_of_every_service_that_the_agent_calls() -> None:
    sources = (ROOT / "cmd/fairlead_agent").rglob("*.py")
    called = {name for path in sources for name in re.findall(r'\.client\("([a-z0-9-]+)"\)', path.read_text())}

    assert {"s3", "sqs", "elbv2", "secretsmanager"} <= called
    assert set() == called - set(parts.SERVICES)


def test_a_dependency_that_is_not_the_locked_one_is_not_packed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "requirements.lock").write_text(
        re.sub(r"(?m)^six==\S+", "six==0.0.1", (ROOT / "requirements.lock").read_text())
    )
    monkeypatch.setattr(parts, "ROOT", tmp_path)

    assert 2 == main(["--to", str(tmp_path), "--here"])
    assert "and 0.0.1 is locked; run make install" in capsys.readouterr().err


# ── the Debian package ──


def listed(package: Path) -> dict[str, str]:
    """Mode and owner by path, as dpkg-deb reads it."""
    said = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines()]
    return {row[5].removeprefix("."): f"{row[0]} {row[1]}" for row in rows if not row[0].startswith("d")}


needs_dpkg_deb = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb here to read with")


@needs_dpkg_deb
def test_dpkg_reads_the_package_and_all_is_roots(built: tuple[Path, Path]) -> None:
    found = listed(built[1])

    assert "-rwxr-xr-x root/root" == found.pop("/usr/bin/fairlead-agent")
    assert {"-rw-r--r-- root/root"} == set(found.values())
    assert f"/opt/fairlead-agent/{PROGRAM}" in found
    assert f"/usr/lib/systemd/system/{UNIT}" in found
    field = ["dpkg-deb", "--field", str(built[1]), "Package", "Version", "Architecture"]
    said = subprocess.run(field, capture_output=True, text=True, check=True).stdout
    assert f"Package: fairlead-agent\nVersion: 9.8.7\nArchitecture: {_architecture()}\n" == said


@needs_dpkg_deb
def test_the_unit_and_the_command_start_what_the_package_installs(built: tuple[Path, Path]) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "deploy/systemd" / UNIT)

    assert unit["Service"]["ExecStart"].split()[2] in listed(built[1])
    assert re.search(r"^exec /usr/bin/python3 -I (\S+)", (HOME / "fairlead-agent.sh").read_text(), re.M)[1] in listed(  # type: ignore[index]
        built[1]
    )


@needs_dpkg_deb
def test_the_pythons_that_it_depends_on_are_those_that_it_is_built_for(built: tuple[Path, Path]) -> None:
    field = ["dpkg-deb", "--field", str(built[1]), "Depends"]
    depends = subprocess.run(field, capture_output=True, text=True, check=True).stdout
    above = f"3.{int(parts.PYTHONS[-1].partition('.')[2]) + 1}"

    assert f"python3 (>= {parts.PYTHONS[0]}), python3 (<< {above})," in depends
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f">={parts.PYTHONS[0]}" == project["requires-python"]


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_scripts_are_sound_shell(script: str) -> None:
    ended = subprocess.run(["sh", "-n", HOME / "debian" / script], capture_output=True, check=False)

    assert (0, b"") == (ended.returncode, ended.stderr)


@needs_dpkg_deb
def test_a_file_of_an_odd_number_of_bytes_and_a_deep_one_come_out_again(tmp_path: Path) -> None:
    files = {"a/b/c/odd": Content(data=b"123"), "top": Content(data=b"", mode=0o700)}
    control = {"Package": "p", "Version": "1", "Architecture": "all", "Maintainer": "m", "Description": "d"}
    (tmp_path / "p.deb").write_bytes(packed(control, {"postinst": "#!/bin/sh\n"}, files, 0))

    subprocess.run(["dpkg-deb", "--extract", tmp_path / "p.deb", tmp_path / "out"], check=True)

    assert b"123" == (tmp_path / "out/a/b/c/odd").read_bytes()
    assert 0o700 == stat.S_IMODE((tmp_path / "out/top").stat().st_mode)


def test_the_example_of_settings_is_sound_once_its_places_are_filled_and_is_refused_before(tmp_path: Path) -> None:
    """Nobody shall believe orders that are signed by the key of an example."""
    mine, example = tmp_path / "agent.yaml", (HOME / "agent.yaml").read_text()
    key = base64.b64encode(bytes(range(32))).decode()
    places = [("<the bucket", "b-1", r":3: bucket: must be the name"), ("<a public key", key, r":4: keys\.<the key")]
    for place, value, why in places:
        mine.write_text(example)
        with pytest.raises(BadSettings, match=why):
            read_settings(mine)
        example = re.sub(f"{place}[^>]*>", value, example)

    mine.write_text(example)

    assert {"prod/matchmaker"} == set(read_settings(mine).fleets)
