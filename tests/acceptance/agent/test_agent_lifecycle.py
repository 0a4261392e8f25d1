"""What a real agent does on a host: download first, drain, switch, restart, check, register, and go back by itself."""

import json
from dataclasses import replace
from typing import Any

from adapters.agent_protocol.orders import Health, Run
from fairlead_sandbox.builds import Behaviour

PRIVATE = 0o600


def stages(bench: Any, version: str) -> list[str]:
    """What the agent's log says that it did for a version, in order."""
    lines = [line.split(" ") for line in bench.host.log().splitlines()]
    return [words[1] for words in lines if f"version={version}" in words and words[1] not in {"order", "begins"}]


def forget_builds(bench: Any, *versions: str) -> None:
    """Nothing of these versions can be downloaded any more."""
    s3 = bench.world.aws.client("s3")
    for version in versions:
        s3.delete_object(Bucket="example-builds", Key=f"matchmaker/{version}/matchmaker.jar")


# ── a deploy, and back ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_deploy_takes_its_stages_in_order(bench: Any) -> None:
    new = bench.release("2.4.0")

    bench.say(new)

    bench.wait_done(new)
    in_order = ["staging", "draining", "activating", "restarting", "checking", "registering", "done"]
    assert in_order == stages(bench, "2.4.0")
    assert "healthy" == bench.in_balancer()
    assert "2.4.0" == bench.report()["last_good"]


def test_a_download_that_fails_touches_nothing(bench: Any) -> None:
    pid = bench.host.service_pid()
    new = bench.release("2.4.0")
    forget_builds(bench, "2.4.0")

    bench.say(new)

    failed = bench.wait_reported("the failure", work_state="failed", work_stage="staging", work_blame="refused")
    assert "s3://example-builds/matchmaker/2.4.0/matchmaker.jar" in failed["work"]["message"]
    assert ["staging"] == [stage for stage in stages(bench, "2.4.0") if stage not in {"ended-failed", "failed"}]
    assert (pid, "healthy") == (bench.host.service_pid(), bench.in_balancer())


def test_a_rollback_downloads_nothing(bench: Any) -> None:
    new = bench.release("2.4.0")
    bench.say(new, base=bench.first)
    bench.wait_done(new)
    forget_builds(bench, "2.3.1", "2.4.0")

    bench.say(replace(bench.first, commit="f" * 40))

    bench.wait_done(bench.first)
    assert "2.3.1" == bench.host.version()


def test_an_unhealthy_version_is_taken_back_by_the_host_itself_and_both_are_reported(bench: Any) -> None:
    bad = bench.release("2.5.0", Behaviour.UNHEALTHY, health=Health(http="http://localhost:8080/health", within=1.0))

    bench.say(bad)

    said = bench.wait_reported("the failure", work_state="failed", healthy=True)
    work = said["work"]
    assert ("2.5.0", "checking", "unhealthy", "2.3.1") == (
        work["version"],
        work["stage"],
        work["blame"],
        work["rolled_back_to"],
    )
    assert "answers 503" in work["message"]
    assert ("2.3.1", "2.3.1") == (bench.host.version(), said["components"]["package/matchmaker"])
    bench.wait(lambda: bench.in_balancer() == "healthy", "that it is in its target group again")


def test_a_version_that_never_starts_fails_and_its_attempt_is_not_begun_again(bench: Any) -> None:
    bad = bench.release("2.5.0", Behaviour.NEVER_STARTS, health=Health(http="http://localhost:8080/health", within=1.0))
    bench.say(bad)
    bench.wait_reported("the failure", work_state="failed", healthy=True)

    again = bench.say(bad)
    bench.wait_reported("the same order, signed again", sequence=again.sequence)
    assert 1 == stages(bench, "2.5.0").count("staging")

    bench.say(bad, attempts={bench.host.id: 2})
    bench.wait_reported("the second attempt", work_state="failed", work_attempt=2)
    assert 2 == stages(bench, "2.5.0").count("staging")


def test_a_service_that_is_deaf_to_sigterm_is_killed_in_its_time(bench: Any) -> None:
    stubborn = bench.release("2.4.0", Behaviour.STUBBORN)
    bench.say(stubborn)
    bench.wait_done(stubborn)
    deaf = bench.host.service_pid()

    bench.say(new := bench.release("2.4.1"))

    bench.wait_done(new)
    assert deaf != bench.host.service_pid()


def test_a_host_never_goes_back_to_what_failed_in_its_fleet(bench: Any) -> None:
    """It is good here, but not elsewhere: the order rejects it, and the next version fails here too."""
    elsewhere_bad = bench.release("2.4.0")
    bench.say(elsewhere_bad, base=bench.first)
    bench.wait_done(elsewhere_bad)
    bad = bench.release("2.5.0", Behaviour.NEVER_STARTS, health=Health(http="http://localhost:8080/health", within=1.0))

    bench.say(bad, base=bench.first, rejected=(elsewhere_bad.digest,))

    said = bench.wait_reported("the failure", work_state="failed", work_version="2.5.0", healthy=True)
    assert ("2.3.1", "2.3.1") == (said["work"]["rolled_back_to"], bench.host.version())


def test_a_target_group_that_does_not_find_it_healthy_fails_the_version(bench: Any) -> None:
    host = bench.host
    bench.world.aws.make_target_sick(host.id)
    new = bench.release("2.4.0", health=Health(http="http://localhost:8080/health", within=1.0))
    arn = bench.world.trigger.target_group(bench.fleet, host.region)
    bench.world.aws.client("elbv2", host.region).modify_target_group(
        TargetGroupArn=arn, HealthCheckIntervalSeconds=5, HealthyThresholdCount=2
    )

    bench.say(new)

    said = bench.wait_reported("the failure", work_state="failed", work_stage="registering")
    assert "target groups did not find it healthy" in said["work"]["message"]
    assert ("2.3.1", True) == (bench.host.version(), bench.in_balancer() in {"initial", "unhealthy"})
    bench.world.aws.make_target_well(host.id)


# ── newest intent wins ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_newer_order_interrupts_the_work_that_is_under_way(bench: Any) -> None:
    late = bench.release(
        "2.4.0", Behaviour.SLOW, after=60.0, health=Health(http="http://localhost:8080/health", within=60.0)
    )
    bench.say(late, base=bench.first)
    bench.wait(lambda: "checking" in stages(bench, "2.4.0"), "that it waits for a version that takes a minute")

    bench.say(replace(bench.first, commit="f" * 40))

    bench.wait_done(bench.first)
    assert ("2.3.1", "healthy") == (bench.host.version(), bench.in_balancer())
    assert 1 == len(bench.events("interrupted"))


def test_a_host_that_an_order_leaves_out_goes_back_to_the_base(bench: Any) -> None:
    late = bench.release(
        "2.4.0", Behaviour.SLOW, after=60.0, health=Health(http="http://localhost:8080/health", within=60.0)
    )
    bench.say(late, base=bench.first, admitted=frozenset({bench.host.id}))
    bench.wait(lambda: "checking" in stages(bench, "2.4.0"), "that it waits for a version that takes a minute")

    bench.say(late, base=replace(bench.first, commit="f" * 40), admitted=frozenset())

    bench.wait_done(bench.first)
    assert "2.3.1" == bench.host.version()


def test_a_host_that_is_not_admitted_yet_stays_as_it_is(bench: Any) -> None:
    """As while a fleet goes back in its waves: the base is another version, and others go first."""
    pid = bench.host.service_pid()
    other = bench.release("2.2.0")

    order = bench.say(bench.release("2.4.0"), base=other, admitted=frozenset({"i-0another"}))
    bench.wait_reported("the order", sequence=order.sequence)

    assert (pid, "2.3.1") == (bench.host.service_pid(), bench.host.version())
    assert [] == stages(bench, "2.2.0")


def test_a_host_that_joins_runs_the_base_until_it_is_admitted(bench: Any) -> None:
    new = bench.release("2.4.0")
    bench.say(new, base=bench.first, admitted=frozenset({bench.host.id}))
    bench.wait_done(new)

    joiner = bench.world.add_host(bench.fleet)

    bench.wait_done(bench.first, joiner)
    assert "2.3.1" == joiner.version()
    bench.say(new, base=bench.first)
    bench.wait_done(new, joiner)


# ── config, secrets, drift ───────────────────────────────────────────────────────────────────────────────────────


def with_config(bench: Any, release: Any, digest: str, **values: Any) -> Any:
    config = replace(release.config, values={**release.config.values, **values}, digest=digest * 64)
    components = {**release.components, config.component: config.digest}
    return replace(release, config=config, components=components, digest=digest * 64)


def test_a_secret_is_resolved_on_the_host_and_a_new_version_of_it_rolls_out(bench: Any) -> None:
    store = bench.world.aws.client("secretsmanager", bench.host.region)
    store.create_secret(Name="prod/mm/db", SecretString=json.dumps({"password": "first-one"}))
    secret = {"$secret": "aws-sm:prod/mm/db#password", "version": "AWSCURRENT"}
    bench.say(one := with_config(bench, bench.first, "1", greeting=secret))
    bench.wait_done(one)
    assert "first-one" == bench.host.service()["greeting"]
    store.put_secret_value(SecretId="prod/mm/db", SecretString=json.dumps({"password": "second-one"}))

    bench.say(two := with_config(bench, bench.first, "2", greeting={**secret, "version": "AWSCURRENT"}))

    bench.wait_done(two)
    assert "second-one" == bench.host.service()["greeting"]
    assert PRIVATE == bench.host.file("matchmaker.yaml").stat().st_mode & 0o777
    told = (
        json.dumps(bench.reports())
        + bench.host.log()
        + "".join(path.read_text() for path in (bench.host.folder / "state" / "fleets").iterdir())
    )
    assert "first-one" not in told and "second-one" not in told  # noqa: PT018 neither is anywhere


def test_a_secret_that_is_not_there_is_refused_before_anything_is_touched(bench: Any) -> None:
    pid = bench.host.service_pid()
    secret = {"$secret": "aws-sm:prod/mm/nowhere#password", "version": "AWSCURRENT"}

    bench.say(with_config(bench, bench.first, "3", greeting=secret))

    said = bench.wait_reported("the failure", work_state="failed", work_blame="refused", work_stage="staging")
    assert "prod/mm/nowhere" in said["work"]["message"]
    assert pid == bench.host.service_pid()


def test_what_was_changed_by_hand_is_reported_and_mended_by_a_new_attempt_only(bench: Any) -> None:
    bench.host.file("matchmaker.yaml").write_text("greeting: by hand\n")

    drifted = bench.wait_reported("the drift", components={"package/matchmaker": "2.3.1"})
    assert "done" == drifted["work"]["state"]
    assert "greeting: by hand\n" == bench.host.file("matchmaker.yaml").read_text()

    bench.say(bench.first, attempts={bench.host.id: 2})
    bench.wait_done(bench.first)
    assert "by hand" not in bench.host.file("matchmaker.yaml").read_text()


def test_a_service_that_died_is_reported_and_healed_by_a_new_attempt(bench: Any) -> None:
    bench.host.kill_service()
    said = bench.wait_reported("that nothing runs", running=False, healthy=False)
    assert "not running" in said["message"]

    bench.say(bench.first, attempts={bench.host.id: 2})

    bench.wait_done(bench.first)
    assert bench.host.healthy()


# ── other ways to run it ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_command_restarts_the_service_and_another_says_whether_it_is_healthy(bench: Any) -> None:
    folder = bench.host.folder
    started = f"{folder}/bin/systemctl restart matchmaker.service"
    new = bench.release("2.4.0", run=Run(command=started), health=Health(command="test -e matchmaker.jar", within=5.0))

    bench.say(new)

    bench.wait_done(new)
    assert "2.4.0" == bench.host.version()


def test_once_converges_reports_and_ends(bench: Any) -> None:
    assert 0 == bench.host.stop_agent()
    new = bench.release("2.4.0")
    bench.say(new)

    bench.host.start_agent("--once")

    assert 0 == bench.host.wait_agent(30.0)
    bench.wait_done(new)


def test_an_agent_that_only_reports_touches_nothing(bench: Any) -> None:
    """The host is deployed to by other means; the command of its settings says the version."""
    assert 0 == bench.host.stop_agent()
    pid, settings = bench.host.service_pid(), bench.host.config.read_text()
    bench.host.config.write_text(
        settings.replace(f"{bench.fleet}: {{}}", f"{bench.fleet}: {{observe: {{command: echo 7.1}}}}")
    )
    bench.say(bench.release("2.4.0"))

    bench.host.start_agent("--report-only")

    said = bench.wait_reported("the version", report_only=True, components={"package/matchmaker": "7.1"})
    assert (True, True, 0, None) == (said["running"], said["healthy"], said["sequence"], said["refused"])
    assert (pid, "2.3.1") == (bench.host.service_pid(), bench.host.version())
