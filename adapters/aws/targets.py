"""Target groups of load balancers: which instances AWS itself calls unhealthy."""

import re
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable

_ARN = re.compile(r"arn:aws[a-z-]*:elasticloadbalancing:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):targetgroup/[\w/-]+")


def region_of_group(arn: str, account: str) -> str | None:
    """The region of a target group of that account; None where the text names no such thing."""
    found = _ARN.fullmatch(arn)
    return found["region"] if found and found["account"] == account else None


def unhealthy_targets(elbv2: Any, arn: str) -> dict[str, str]:
    """The unhealthy targets of a group by id, each with AWS's reason; empty where there is no such group.

    A target with several ports is unhealthy when one is. Raises `Unreadable`.
    """
    with readable(f"the health of the targets of {arn.rpartition('targetgroup/')[2]}", "elasticloadbalancing"):
        try:
            described = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        except ClientError as error:
            if code_of(error) != "TargetGroupNotFound":
                raise
            return {}
    sick = (one for one in described if one["TargetHealth"]["State"].startswith("unhealthy"))
    return {one["Target"]["Id"]: _why(one["TargetHealth"]) for one in sick}


def _why(health: dict[str, str]) -> str:
    return health.get("Description") or health.get("Reason") or "no reason given"
