"""Releases on the disk: staged whole, switched at once, observed as they are, healed and pruned."""

import json
import os
import stat
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from adapters.agent_protocol.orders import Health
from adapters.agent_protocol.reports import Blame
from fairlead_agent import durable, installation
from fairlead_agent.trouble import Interrupted, Trouble

SECRET = {"db": {"password": {"$secret": "aws-sm:prod/mm#password", "version": "7"}}, "workers": 8}


def test_a_release_is_staged_switched_to_and_seen(host: Any, make_tar: Any) -> None:
    files = make_tar({"bin/run": b"#!/bin/sh\n", "lib/a.so": b"so", "README": b"read"})
    release = host.release(host.file("1.0"), host.archive("1.0", files), config=host.config(mode="fast"), redeploy="r1")
    here = host.installation()

    here.stage(release, host.stop)
    assert (None, (release.id,), {}) == (here.current(), here.held(), here.observe())
    here.activate(release.id)

    assert release.id == here.current()
    assert f"releases/{release.id}" == str((host.root / "current").readlink())
    assert b"matchmaker 1.0" == host.here("matchmaker.jar").read_bytes()
    assert "mode: fast\n" == host.here("etc/matchmaker.yaml").read_text()
    assert b"#!/bin/sh\n" == host.here("app/bin/run").read_bytes()
    assert release.components == here.observe() == host.installation().observe()
    assert release == here.release(release.id)


def test_nothing_that_runs_is_touched_by_staging_and_a_rollback_downloads_nothing(host: Any) -> None:
    old, new = host.release(host.file("1.0")), host.release(host.file("1.1"))
    here = host.install(old)

    here.stage(new, host.stop)
    assert (old.id, old.components) == (here.current(), here.observe())
    here.activate(new.id)
    assert (new.id, new.components) == (here.current(), here.observe())
    downloads = list(host.s3.downloads)
    here.activate(old.id)

    assert (old.id, old.components) == (here.current(), here.observe())
    assert (old.id, new.id) == here.held()
    assert downloads == host.s3.downloads


def test_staging_and_activating_again_write_nothing(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = host.release(host.file("1.0"), config=host.config(mode="fast"))
    here = host.install(release)
    before = {path: path.lstat() for path in host.root.rglob("*")}

    here.stage(release, host.stop)
    here.activate(release.id)

    assert before == {path: path.lstat() for path in host.root.rglob("*")}
    assert 1 == len(host.s3.downloads)


def test_the_same_artifact_is_linked_from_another_release_not_downloaded(host: Any, make_tar: Any) -> None:
    parts = host.file("1.0"), host.archive("1.0", make_tar({"bin/run": b"run", "empty/": b""}))
    here = host.install(host.release(*parts, config=host.config(mode="fast")))
    slow = host.release(*parts, config=host.config(mode="slow"))

    here.stage(slow, host.stop)

    assert 2 == len(host.s3.downloads)
    for inner in ("matchmaker.jar", "app/bin/run"):
        assert (host.root / "releases" / slow.id / inner).samefile(host.here(inner))
    here.activate(slow.id)
    assert slow.components == here.observe()


def test_what_was_changed_is_not_linked_but_downloaded(host: Any) -> None:
    jar = host.file("1.0")
    here = host.install(host.release(jar))
    host.here("matchmaker.jar").write_bytes(b"edited")

    here.stage(host.release(jar, redeploy="again"), host.stop)

    assert 2 == len(host.s3.downloads)


def test_what_was_changed_is_left_out_until_it_is_staged_and_activated_again(host: Any) -> None:
    release = host.release(host.file("1.0"), config=host.config(mode="fast"))
    here = host.install(release)
    host.here("matchmaker.jar").write_bytes(b"edited")
    assert {"config/matchmaker"} == set(here.observe())
    host.here("etc/matchmaker.yaml").write_text("mode: slow\n")
    assert {} == here.observe()

    here.stage(release, host.stop)
    assert b"edited" == host.here("matchmaker.jar").read_bytes()  # staging touches nothing that runs
    here.activate(release.id)

    assert release.components == here.observe() == host.installation().observe()
    assert [] == [path.name for path in (host.root / "releases").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("damage", ["file for folder", "folder for file", "gone", "manifest", "link for file", "all"])
def test_any_damage_is_seen_and_healed(host: Any, damage: str) -> None:
    release = host.release(host.file("1.0"), config=host.config(mode="fast"))
    here = host.install(release)
    jar, etc = host.here("matchmaker.jar"), host.here("etc")
    if damage == "file for folder":
        durable.remove(etc)
        etc.write_text("x")
    elif damage == "folder for file":
        jar.unlink()
        (jar / "inner").mkdir(parents=True)
    elif damage == "gone":
        jar.unlink()
    elif damage == "link for file":
        jar.rename(host.root / "elsewhere")
        jar.symlink_to(host.root / "elsewhere")
    elif damage == "manifest":
        host.here(".fairlead.json").write_text("{")
    else:
        durable.remove(host.root / "releases" / release.id)
    assert release.components != here.observe() == host.installation().observe()

    again = host.installation()
    again.stage(release, host.stop)
    again.activate(release.id)

    assert release.components == again.observe() == here.observe()


def test_a_broken_manifest_is_trouble_of_the_road(host: Any) -> None:
    release = host.release(host.file("1.0"))
    here = host.install(release)
    for text in ("", "{}", "[]", '{"format": "fairlead/manifest/v1", "release": {}, "proofs": {}}', "\xff"):
        host.here(".fairlead.json").write_text(text, encoding="latin-1")
        with pytest.raises(Trouble, match="is not whole") as caught:
            here.release(release.id)
        assert Blame.TRANSIENT == caught.value.blame
        assert {} == here.observe()


def test_a_manifest_of_another_release_is_not_believed(host: Any) -> None:
    old, new = host.release(host.file("1.0")), host.release(host.file("1.1"))
    here = host.install(old)
    here.stage(new, host.stop)
    (host.root / "releases" / old.id / ".fairlead.json").write_bytes(
        (host.root / "releases" / new.id / ".fairlead.json").read_bytes()
    )

    with pytest.raises(Trouble, match="is another one"):
        here.release(old.id)


def test_an_idle_look_reads_nothing(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = host.release(host.file("1.0"), config=host.config(mode="fast"))
    here = host.install(release)
    here.observe()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    assert release.components == here.observe()


def test_other_settings_of_the_same_release_are_brought_up_to_date(host: Any) -> None:
    release = host.release(host.file("1.0"))
    here = host.install(release)
    other = replace(release, lifecycle=replace(release.lifecycle, health=Health(http="http://localhost:1/")))
    assert other.id == release.id

    here.stage(other, host.stop)

    assert (other, 1) == (here.release(other.id), len(host.s3.downloads))
    assert other.components == here.observe()


def test_a_secret_is_in_the_config_alone_and_its_owner_alone_reads_it(host: Any) -> None:
    host.root.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(host.root, 4711, 4712)
    release = host.release(host.file("1.0"), config=host.config(**SECRET))
    here = host.install(release)

    config = host.here("etc/matchmaker.yaml")
    assert 'db:\n  password: "hunter2-hunter2"\nworkers: 8\n' == config.read_text()
    assert 0o600 == stat.S_IMODE(config.stat().st_mode)
    assert (host.root.stat().st_uid, host.root.stat().st_gid) == (config.stat().st_uid, config.stat().st_gid)
    assert 0o600 == stat.S_IMODE(host.here(".fairlead.json").stat().st_mode)
    assert "hunter2" not in host.everything() + repr(here.observe()) + repr(here.release(release.id))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_config_keeps_the_owner_that_it_has_in_the_current_release(host: Any) -> None:
    host.install(host.release(host.file("1.0"), config=host.config(**SECRET)))
    os.chown(host.here("etc/matchmaker.yaml"), 4713, 4714)

    host.install(host.release(host.file("1.1"), config=host.config(**SECRET)))

    found = host.here("etc/matchmaker.yaml").stat()
    assert (4713, 4714) == (found.st_uid, found.st_gid)


def test_a_missing_secret_is_refused_before_anything_changes(host: Any) -> None:
    old = host.release(host.file("1.0"))
    here = host.install(old)
    lost = host.config(password={"$secret": "aws-sm:prod/mm#password", "version": "8"})

    with pytest.raises(Trouble, match=r"no secret prod/mm with a version or label 8") as caught:
        here.stage(host.release(host.file("1.1"), config=lost), host.stop)

    assert Blame.REFUSED == caught.value.blame
    assert (old.id, (old.id,)) == (here.current(), here.held())


def test_staging_stops_when_it_is_told_to(host: Any) -> None:
    stop = Event()
    stop.set()
    here = host.installation()
    release = host.release(host.file("1.0"))

    with pytest.raises(Interrupted):
        here.stage(release, stop)

    assert () == here.held()
    assert host.install(release).current() == release.id


def test_pruning_keeps_the_current_one_and_what_is_named_and_sweeps(host: Any) -> None:
    releases = [host.release(host.file(f"1.{number}")) for number in range(5)]
    for release in releases:
        here = host.install(release)
    here.activate(releases[1].id)
    folder = host.root / "releases"
    (folder / f".{releases[0].id}.new/deep").mkdir(parents=True)
    (folder / ".downloads").mkdir()
    (folder / ".downloads/.abc.part").write_text("half")
    (host.root / ".current.new").symlink_to("releases/nowhere")

    here.prune([releases[3].id])

    assert {releases[1].id, releases[3].id} == {path.name for path in folder.iterdir()} == set(here.held())
    assert {"releases", "current"} == {path.name for path in host.root.iterdir()}
    assert releases[1].components == here.observe()


def test_a_leftover_link_that_dangles_is_no_hindrance(host: Any) -> None:
    host.root.mkdir(parents=True)
    (host.root / ".current.new").symlink_to("releases/nowhere")
    release = host.release(host.file("1.0"))

    assert release.id == host.install(release).current()


def test_a_current_that_is_not_ours_is_refused_while_nothing_was_done(host: Any) -> None:
    (host.root / "current").mkdir(parents=True)
    here = host.installation()

    with pytest.raises(Trouble, match="not a link of the agent's") as caught:
        here.stage(host.release(host.file("1.0")), host.stop)

    assert (Blame.REFUSED, None, {}, []) == (caught.value.blame, here.current(), here.observe(), host.s3.downloads)


@pytest.mark.parametrize("target", ["/etc", "releases/../../x", "releases/0123", "releases/" + "g" * 16, "a" * 16])
def test_a_link_elsewhere_is_no_release(host: Any, target: str) -> None:
    host.root.mkdir(parents=True)
    (host.root / "current").symlink_to(target)

    assert (None, {}) == (host.installation().current(), host.installation().observe())


def test_two_parts_at_one_place_are_refused(host: Any, make_tar: Any) -> None:
    clash = host.release(host.file("1.0"), host.archive("1.0", make_tar({"matchmaker.jar": b"other"}), to=None))

    with pytest.raises(Trouble, match=r"matchmaker\.jar") as caught:
        host.installation().stage(clash, host.stop)

    assert Blame.REFUSED == caught.value.blame


def test_a_full_disk_is_trouble_of_the_road_and_leaves_nothing_under_a_final_name(
    host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = host.release(host.file("1.0"))
    here = host.install(old)
    monkeypatch.setattr(durable, "RESERVE", 1 << 62)

    with pytest.raises(Trouble, match="is full") as caught:
        here.stage(host.release(host.file("1.1")), host.stop)

    assert (Blame.TRANSIENT, old.id, (old.id,)) == (caught.value.blame, here.current(), here.held())


def test_a_release_that_is_not_there_is_not_activated(host: Any) -> None:
    old = host.release(host.file("1.0"))
    here = host.install(old)

    with pytest.raises(Trouble, match="is not whole"):
        here.activate("0" * 16)

    assert old.components == here.observe()


def test_a_manifest_says_what_the_order_said(host: Any) -> None:
    release = host.release(host.file("1.0"))
    host.install(release)

    said = json.loads(host.here(".fairlead.json").read_text())

    assert "fairlead/manifest/v1" == said["format"]
    assert {"package/matchmaker": {"matchmaker.jar": release.artifacts[0].sha256}} == said["proofs"]
    assert installation.NAME == ".fairlead.json"


def test_what_was_proven_of_a_release_that_is_gone_is_forgotten(host: Any) -> None:
    here = host.installation()
    for number in range(5):
        release = host.release(host.file(f"1.{number}"))
        here.stage(release, host.stop)
        here.activate(release.id)
        assert release.components == here.observe()
        here.prune(())

    assert {release.id} == {path.relative_to(host.root / "releases").parts[0] for path in here._proven._known}
