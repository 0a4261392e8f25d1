"""Releases on the disk: staged whole, switched at once, observed as they are, healed and pruned."""

import errno
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

    def written() -> Any:
        found = {path: path.lstat() for path in host.root.rglob("*")}
        return {path: (each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for path, each in found.items()}

    before = written()

    here.stage(release, host.stop)
    here.activate(release.id)

    assert before == written()
    assert 1 == len(host.s3.downloads)


def test_the_same_artifact_is_copied_from_another_release_not_downloaded(host: Any, make_tar: Any) -> None:
    parts = host.file("1.0"), host.archive("1.0", make_tar({"bin/run": b"run", "empty/": b""}))
    here = host.install(host.release(*parts, config=host.config(mode="fast")))
    slow = host.release(*parts, config=host.config(mode="slow"))

    here.stage(slow, host.stop)

    assert 2 == len(host.s3.downloads)
    for inner in ("matchmaker.jar", "app/bin/run"):
        one, other = (host.root / "releases" / slow.id / inner).stat(), host.here(inner).stat()
        assert (one.st_mode, one.st_mtime_ns, one.st_size) == (other.st_mode, other.st_mtime_ns, other.st_size)
    here.activate(slow.id)
    assert slow.components == here.observe()


def test_who_writes_to_a_file_of_the_new_release_leaves_the_last_good_one_alone(host: Any, make_tar: Any) -> None:
    parts = host.file("1.0"), host.archive("1.0", make_tar({"bin/run": b"run"}))
    good, new = host.release(*parts), host.release(*parts, redeploy="again")
    host.install(good)
    here = host.install(new)

    for inner in ("matchmaker.jar", "app/bin/run"):
        with host.here(inner).open("r+b") as file:
            file.write(b"x")
    downloads = list(host.s3.downloads)
    here.activate(good.id)

    assert (good.components, downloads) == (here.observe(), host.s3.downloads)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_is_copied_also_where_file_systems_cannot_help(
    host: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    jar = host.file("1.0", b"x" * (9 << 20))
    here = host.install(host.release(jar))

    def refuse(*_: Any) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    again = host.release(jar, redeploy="again")
    here.stage(again, host.stop)
    here.activate(again.id)

    assert (again.components, 1) == (here.observe(), len(host.s3.downloads))


def test_what_was_changed_is_not_copied_but_downloaded(host: Any) -> None:
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
def test_a_link_elsewhere_is_no_release_and_is_refused(host: Any, target: str) -> None:
    host.root.mkdir(parents=True)
    (host.root / "current").symlink_to(target)

    assert (None, {}) == (host.installation().current(), host.installation().observe())
    release = host.release(host.file("1.0"))
    with pytest.raises(Trouble, match=r"not a link of the agent's, it leads to .*; move it elsewhere") as caught:
        host.installation().stage(release, host.stop)
    assert (Blame.REFUSED, ["current"]) == (caught.value.blame, [path.name for path in host.root.iterdir()])


def test_releases_of_others_are_left_alone(host: Any) -> None:
    """As Capistrano has them; after people moved its link away, too."""
    old = host.root / "releases/20260101120000"
    others = [
        old,
        host.root / "releases/backup",
        host.root / "releases/0123456789abcdef",
        host.root / "releases/.cache",
    ]
    for folder in others:
        folder.mkdir(parents=True)
        (folder / "data").write_text("rows")
    (host.root / "current").symlink_to("releases/20260101120000")
    release = host.release(host.file("1.0"))
    with pytest.raises(Trouble, match="move it elsewhere"):
        host.install(release)
    with pytest.raises(Trouble, match="move it elsewhere"):
        host.installation().prune(())
    (host.root / "current").unlink()

    host.install(release).prune(())

    assert ["rows"] * 4 == [(folder / "data").read_text() for folder in others]
    assert release.id == host.installation().current()


@pytest.mark.parametrize("inner", ["releases", "releases/.downloads"])
def test_no_link_is_followed_out_of_the_root(host: Any, inner: str) -> None:
    victim = host.folder / "victim"
    (victim / ".0123456789abcdef.new").mkdir(parents=True)
    (host.root / inner).parent.mkdir(parents=True)
    (host.root / inner).symlink_to(victim)
    here, release = host.installation(), host.release(host.file("1.0"))

    for step in (lambda: here.stage(release, host.stop), lambda: here.activate(release.id), lambda: here.prune(())):
        with pytest.raises(Trouble, match=rf"{inner} is a link or a file, and must be a folder") as caught:
            step()
        assert Blame.REFUSED == caught.value.blame

    assert [".0123456789abcdef.new"] == [path.name for path in victim.iterdir()]
    assert [] == host.s3.downloads


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("owner", "mode"), [(4711, 0o755), (0, 0o775), (0, 0o777)])
def test_a_superuser_does_not_work_in_a_folder_of_others(host: Any, owner: int, mode: int) -> None:
    folder = host.root / "releases"
    folder.mkdir(parents=True)
    os.chown(folder, owner, owner)
    folder.chmod(mode)

    with pytest.raises(Trouble, match="must be root's, and nobody else's to write to") as caught:
        host.install(host.release(host.file("1.0")))

    assert (Blame.REFUSED, []) == (caught.value.blame, list(folder.iterdir()))


def test_downloads_stay_for_a_release_that_is_to_be_tried_again(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, release = host.installation(), host.release(host.file("1.0"), config=host.config(**SECRET))
    downloads = host.root / "releases/.downloads"
    with monkeypatch.context() as patch:
        patch.setattr(installation, "sync_tree", out_of_room)
        with pytest.raises(Trouble):
            here.stage(host.release(host.file("0.9")), host.stop)
    (downloads / "partly").touch()

    here.prune(())
    assert (downloads / "partly").exists()
    here.stage(release, host.stop)
    here.prune(())

    assert not downloads.exists()


def out_of_room(_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


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


def test_the_agents_own_folders_are_its_own_whatever_the_umask(host: Any) -> None:
    here = host.installation()
    before = os.umask(0)
    try:
        host.secrets.texts = {}
        with pytest.raises(Trouble):
            here.stage(host.release(host.file("1.0"), config=host.config(**SECRET)), host.stop)
        assert (host.root / "releases/.downloads").is_dir()
        host.install(host.release(host.file("1.0")))
    finally:
        os.umask(before)

    assert 0o755 == stat.S_IMODE((host.root / "releases").stat().st_mode)
