"""What a person does in one region to bring a version back: steps in order, their commands, and how to see the outcome.

Pure. A server group is enabled as Spinnaker does it: its processes are resumed, it gets the target groups and the size
of the one that serves, and only when it is healthy the other is taken out of service. The size comes last: what is
launched while AddToLoadBalancer is suspended is never entered by itself. Nothing is ever deleted.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.by_hand.standing import Group

ENABLING = ("AddToLoadBalancer", "Launch", "Terminate")  # processes without which a group comes to nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do. `check` are commands that only look; `expect` says what they must show."""

    does: str
    commands: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    expect: str = ""


def aws(service: str, call: str, region: str, **options: str | Sequence[str]) -> str:
    """A line for a shell: `aws <service> <call> --region ... --some-option value`."""
    words = ["aws", service, call, "--region", region]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([value] if isinstance(value, str) else value)]
    return shlex.join(words)


def enabling(good: Group, bad: Sequence[Group], region: str) -> Iterator[Step]:
    """Bring the group up beside those that serve, then take them out of service."""
    sizes = sizes_for(good, bad)
    named = {"auto_scaling_group_name": good.name}
    asleep = [process for process in ENABLING if process in good.suspended]
    if asleep:
        yield Step(
            does=f"let {good.name} launch instances and enter them into load balancers",
            commands=(aws("autoscaling", "resume-processes", region, **named, scaling_processes=asleep),),
        )
    yield from _attached(good, bad, region)
    if good.sizes != sizes:
        low, high, desired = map(str, sizes)
        sized = {**named, "min_size": low, "max_size": high, "desired_capacity": desired}
        yield Step(
            does=f"give {good.name} the size {low}/{high}/{desired} (minimum/maximum/desired)",
            commands=(aws("autoscaling", "update-auto-scaling-group", region, **sized),),
        )
    yield healthy(good.name, sizes[2], _joined(good, bad), region)
    yield from disabling(bad, good.name, region)


def sizes_for(good: Group, bad: Sequence[Group]) -> tuple[int, int, int]:
    """Those of the newest group that serves with instances, as far as they are more; one, where no group tells any."""
    source = next((group.sizes for group in reversed(bad) if group.sizes[2] > 0), good.sizes)
    low, high, desired = (max(pair) for pair in zip(good.sizes, source, strict=True))
    return low, max(high, desired, 1), max(desired, 1)


def _attached(good: Group, bad: Sequence[Group], region: str) -> Iterator[Step]:
    """What is attached gets the instances that are launched from then on; those that are there are entered by hand."""
    missing = [each for each in _joined(good, bad) if each not in good.target_groups]
    balancers = list(dict.fromkeys(each for group in bad for each in group.balancers if each not in good.balancers))
    named = {"auto_scaling_group_name": good.name}
    commands = []
    if missing:
        commands.append(
            aws("autoscaling", "attach-load-balancer-target-groups", region, **named, target_group_arns=missing)
        )
    if balancers:
        commands.append(aws("autoscaling", "attach-load-balancers", region, **named, load_balancer_names=balancers))
    if good.instances and not good.enabled:
        ids = [f"Id={instance}" for instance in good.instances]
        commands += [
            aws("elbv2", "register-targets", region, target_group_arn=each, targets=ids) for each in _joined(good, bad)
        ]
        commands += [
            aws(
                "elb",
                "register-instances-with-load-balancer",
                region,
                load_balancer_name=each,
                instances=good.instances,
            )
            for each in (*good.balancers, *balancers)
        ]
    if commands:
        yield Step(does=f"enter {good.name} where the other one is served from", commands=tuple(commands))


def _joined(good: Group, bad: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys([*good.target_groups, *(each for group in bad for each in group.target_groups)]))


def healthy(name: str, desired: int, target_groups: Sequence[str], region: str) -> Step:
    """Nothing is taken out of service before this is so."""
    query = "AutoScalingGroups[0].Instances[].[InstanceId,LifecycleState,HealthStatus]"
    looks = [
        aws(
            "autoscaling",
            "describe-auto-scaling-groups",
            region,
            auto_scaling_group_names=[name],
            query=query,
            output="text",
        )
    ]
    looks += [aws("elbv2", "describe-target-health", region, target_group_arn=each) for each in target_groups]
    served = " and each of them is `healthy` in every target group" if target_groups else ""
    return Step(
        does=f"wait until {name} is healthy; look again until it is, and stop here if it never is",
        check=tuple(looks),
        expect=f"{desired} instances are InService and Healthy{served}",
    )


def disabling(bad: Sequence[Group], good: str, region: str) -> Iterator[Step]:
    """Take the others out of service. They stay, with their instances."""
    for group in bad:
        commands = [
            aws(
                "autoscaling",
                "suspend-processes",
                region,
                auto_scaling_group_name=group.name,
                scaling_processes=["AddToLoadBalancer"],
            )
        ]
        ids = [f"Id={instance}" for instance in group.instances]
        if ids:
            commands += [
                aws("elbv2", "deregister-targets", region, target_group_arn=each, targets=ids)
                for each in group.target_groups
            ]
            commands += [
                aws(
                    "elb",
                    "deregister-instances-from-load-balancer",
                    region,
                    load_balancer_name=each,
                    instances=group.instances,
                )
                for each in group.balancers
            ]
        yield Step(
            does=f"take {group.name} out of service, only once {good} is healthy",
            commands=tuple(commands),
            check=tuple(
                aws("elbv2", "describe-target-health", region, target_group_arn=each) for each in group.target_groups
            ),
            expect=f"no instance of {group.name} is left, or it is draining" if group.target_groups else "",
        )
