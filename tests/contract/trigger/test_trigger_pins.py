"""Artifacts are pinned: by the fleet file, as pinned before, by S3's checksum, or by reading them."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from adapters.agent_protocol.reports import Blame
from desired_state.model import Package
from reconciler.reasons import Reason
from reconciler.work import Failure, Phase, Release


def pins(rig: Any) -> list[str]:
    return [artifact.sha256 for artifact in rig.order().target.artifacts]


def with_pin(rig: Any, sha256: str) -> Any:
    fleet = rig.fleet()
    return replace(fleet, packages=(replace(fleet.packages[0], sha256=sha256),))


def test_the_fleet_files_word_is_taken_without_asking(rig: Any) -> None:
    (host,) = rig.launch()

    rig.start(rig.intent(host, with_pin(rig, "a" * 64)))

    assert pins(rig) == ["a" * 64]


def test_s3s_own_checksum_is_taken_without_reading(rig: Any) -> None:
    (host,) = rig.launch()
    wanted = rig.upload("2.3.1")
    seen = rig.look()
    rig.road.breaks("s3:GET", "error")

    rig.start(rig.intent(host), snapshots=seen)

    assert pins(rig) == [wanted]


def test_an_object_without_a_checksum_is_read_once(rig: Any) -> None:
    (host,) = rig.launch()
    wanted = rig.upload("2.3.1", b"x" * 3_000_000, checksum=False)

    rig.start(rig.intent(host))
    read = rig.road.went.count("s3:GET")
    rig.start(rig.intent(host, attempt=2))

    assert pins(rig) == [wanted] == [hashlib.sha256(b"x" * 3_000_000).hexdigest()]
    assert rig.road.went.count("s3:GET") == read + 1  # the order's own


def test_a_checksum_over_parts_is_no_checksum_of_the_bytes(rig: Any) -> None:
    (host,) = rig.launch()
    where = {"Bucket": "example-builds", "Key": "mm/2.3.1/mm.jar"}
    upload = rig.s3.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = [b"x" * 5_242_880, b"end"]
    made = [
        rig.s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm="SHA256")
        for number, part in enumerate(parts, 1)
    ]
    told = [
        {"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}
        for number, part in enumerate(made, 1)
    ]
    rig.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": told})

    rig.start(rig.intent(host))

    assert pins(rig) == [hashlib.sha256(b"".join(parts)).hexdigest()]


def test_a_target_keeps_the_pins_that_it_began_with(rig: Any) -> None:
    one, two = rig.launch(2)
    wanted = rig.upload("2.3.1")
    rig.start(rig.intent(one))
    rig.upload("2.3.1", b"something else under the same name")

    rig.start(rig.intent(one), rig.intent(two), by=rig.controller(rig.key))

    assert pins(rig) == [wanted]


def test_a_rollback_keeps_the_pins_of_what_was_good(rig: Any) -> None:
    (host,) = rig.launch()
    wanted = rig.upload("2.3.0")
    rig.start(rig.intent(host))
    rig.upload("2.3.0", b"something else under the same name")

    rig.uphold(rig.settled("2.3.0"), by=rig.controller(rig.key))

    assert pins(rig) == [wanted]


def test_an_artifact_that_nobody_uploaded_is_refused(rig: Any) -> None:
    (host,) = rig.launch()

    (outcome,) = rig.start(rig.intent(host, rig.fleet("9.9.9")))

    assert (outcome.phase, outcome.failure, outcome.reason) == (Phase.FAILED, Failure.REFUSED, Reason.DEPLOY_REFUSED)
    assert outcome.message == (
        "s3://example-builds/mm/9.9.9/mm.jar is not there; upload it, or correct the version or `from`"
    )
    assert rig.written() == []


@pytest.mark.parametrize("fault", ["error", "drop"])
def test_builds_that_cannot_be_read_are_the_roads_fault(rig: Any, fault: str) -> None:
    (host,) = rig.launch()
    rig.road.breaks("s3:HEAD", fault)

    (outcome,) = rig.start(rig.intent(host))

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.TRANSIENT)
    assert "s3://example-builds/mm/2.3.1/mm.jar" in outcome.message
    assert rig.written() == []


def test_a_build_that_breaks_off_while_it_is_read_is_not_pinned(rig: Any) -> None:
    (host,) = rig.launch()
    rig.upload("2.3.1", b"x" * 3_000_000, checksum=False)
    seen = rig.look()
    rig.road.breaks("s3:GET", "half")

    (outcome,) = rig.start(rig.intent(host), snapshots=seen)

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.TRANSIENT)
    assert "s3://example-builds/mm/2.3.1/mm.jar" in outcome.message
    assert rig.written() == []


def test_a_base_that_cannot_be_pinned_holds_back_nobody_who_is_admitted(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.s3.delete_object(Bucket="example-builds", Key="mm/2.3.0/mm.jar")

    (outcome,) = rig.start(rig.intent(one))

    assert (outcome.phase, rig.order().base) == (Phase.RUNNING, None)
    assert "other hosts stay as they are: s3://example-builds/mm/2.3.0/mm.jar is not there" in outcome.message
    two.does()
    assert two.components == {"package/mm": "2.3.0"}


def test_a_deb_of_the_hosts_own_repositories_needs_its_sha256_in_the_fleet_file(rig: Any) -> None:
    (host,) = rig.launch()
    deb = Package(name="mm", version="2.3.1", format="deb", sha256="a" * 64)
    known, unknown = rig.fleet(packages=(deb,)), rig.fleet(packages=(replace(deb, sha256=None),))
    standing = rig.standing(host, fleet=unknown, base=Release(fleet=unknown, setting_commit="b" * 40))

    (refused,) = rig.deployer.start([rig.intent(host, unknown)], standing, rig.look(), rig.lease)
    (begun,) = rig.start(rig.intent(host, known))

    assert (refused.failure, refused.message) == (
        Failure.REFUSED,
        "nobody knows the bytes of package mm 2.3.1; add its sha256",
    )
    assert (begun.phase, rig.order().target.artifacts[0].source) == (Phase.RUNNING, None)


def test_bytes_that_do_not_match_are_found_on_the_host_and_refused(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host, with_pin(rig, "a" * 64)))
    host.fails(Blame.REFUSED, "mm.jar has another SHA-256", back="")

    ended = rig.check(outcome)

    assert (ended.failure, ended.reason) == (Failure.REFUSED, Reason.DEPLOY_REFUSED)
    assert ended.message == f"{host.id}: mm.jar has another SHA-256"
