"""What moto lacks or gets wrong, mended here, in `aws_lifecycle.py`, `aws_messages.py`, `aws_targets.py` alone.

Each function says what was found by trying moto 5.2.5. `install()` may be called again and again.
"""

import time
from collections import Counter
from collections.abc import Callable
from copy import copy
from typing import Any

from moto import settings
from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.base_backend import AccountSpecificBackend, BackendDict, backend_lock
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import InvalidAMIIdError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import AmiBackend
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import generic_filter
from moto.s3.models import S3BackendDict

from fairlead_sandbox import aws_lifecycle, aws_messages, aws_targets
from fairlead_sandbox.aws_state import replace, state_now


def install() -> None:
    """Mend moto. Safe to call any number of times."""
    if getattr(BackendDict, "of_fairlead_sandbox", False):
        return
    settings.ec2_load_default_amis = lambda: False  # 1,301 stock images cost 1.6 s at the first call
    settings.ENABLE_AMI_VALIDATION = True  # a group whose image does not exist was created without a word
    _separate_states()
    _mend_images()
    _mend_groups()
    aws_lifecycle.mend()
    aws_messages.mend()
    aws_targets.mend()
    replace(BackendDict, "of_fairlead_sandbox", True)


# -- one state a server ------------------------------------------------------------------------------------------


def _entries(backends: Any) -> dict[str, Any]:
    """The accounts of one service in the state in use."""
    return state_now().backends.setdefault(backends._id, {})


def _account(backends: Any, account_id: str) -> Any:
    with backend_lock:
        entries = _entries(backends)
        if account_id not in entries:
            entries[account_id] = AccountSpecificBackend(
                service_name=backends.service_name,
                account_id=account_id,
                backend=backends.backend,
                use_boto3_regions=backends._use_boto3_regions,
                additional_regions=backends._additional_regions,
            )
        return entries[account_id]


def _separate_states() -> None:
    """Moto's account tables become views of the state in use."""
    views: dict[str, Callable[..., Any]] = {
        "__getitem__": _account,
        "__contains__": lambda self, key: key in _entries(self),
        "__iter__": lambda self: iter(_entries(self)),
        "__len__": lambda self: len(_entries(self)),
        "get": lambda self, key, default=None: _entries(self).get(key, default),
        "keys": lambda self: _entries(self).keys(),
        "values": lambda self: _entries(self).values(),
        "items": lambda self: _entries(self).items(),
    }
    for name, view in views.items():
        replace(BackendDict, name, view)
    # The names of buckets were taken for the whole process.
    replace(S3BackendDict, "bucket_accounts", property(lambda _: state_now().buckets))


# -- images ------------------------------------------------------------------------------------------------------


def _mend_images() -> None:
    """`register_image` drops its tags; `describe_images` passes over unknown ids as long as one is known, and knows
    nothing of images that another account shares.
    """

    def register_image(self: Any) -> ActionResult:
        self.error_on_dryrun()
        image = self.ec2_backend.register_image(self._get_param("Name"), self._get_param("Description", ""))
        for specification in self._get_param("TagSpecifications", []):
            image.add_tags({tag["Key"]: tag["Value"] for tag in specification["Tags"]})
        return ActionResult({"ImageId": image.id})

    def describe_images(self: Any, ami_ids: list[str] | None = None, **rest: Any) -> list[Any]:
        if rest.get("exec_users") == ["self"]:
            return list(generic_filter(rest.get("filters") or {}, list(_shared_with(self, None).values())))
        shared = _shared_with(self, ami_ids or [])
        mine = [each for each in ami_ids or [] if each not in shared]
        unknown = [each for each in mine if each not in self.amis and each not in self.deleted_amis]
        if unknown:
            raise InvalidAMIIdError(unknown)
        found: list[Any] = told(self, ami_ids=mine, **rest) if mine or not shared else []
        return [*found, *shared.values()]

    replace(AmisResponse, "register_image", register_image)
    told = replace(AmiBackend, "describe_images", describe_images)


def _seen_from(backend: Any, image: Any) -> Any:
    """An image as another account sees it: with the tags that this one gave it, and not those of its owner."""
    seen = copy(image)
    seen.ec2_backend = backend
    return seen


def _shared_with(backend: Any, ids: list[str] | None) -> dict[str, Any]:
    """Those of these images (of all, without ids) that are another account's and that this one may launch, by id."""
    found: dict[str, Any] = {}
    for account, regions in list(_entries(ec2_backends).items()):
        if account != backend.account_id and backend.region_name in regions:
            theirs = regions[backend.region_name].amis
            allowed = {"UserId": backend.account_id}
            found |= {
                each: _seen_from(backend, theirs[each])
                for each in (list(theirs) if ids is None else ids)
                if each in theirs and allowed in theirs[each].launch_permissions
            }
    return found


# -- Auto Scaling groups -----------------------------------------------------------------------------------------


def _mend_groups() -> None:
    _mend_launching()
    _mend_describing()


def _mend_launching() -> None:
    """All instances went to the first subnet (a /20, full at 4,090) and were in service at once."""

    def launch(self: Any, count: int, tags: dict[str, str]) -> None:
        before = set(map(id, self.instance_states))
        zones = self.vpc_zone_identifier
        try:
            for subnet, share in _shares(zones, self.instance_states, count).items():
                self.vpc_zone_identifier = subnet
                launched(self, share, dict(tags))
        except InvalidAMIIdError as error:
            raise ValidationError(f"You must use a valid fully-formed launch template. {error.message}") from error
        finally:
            self.vpc_zone_identifier = zones
        _boot(self, [each for each in self.instance_states if id(each) not in before])

    def active_instances(self: Any) -> list[Any]:
        return [each for each in self.instance_states if each.lifecycle_state in {"InService", "Pending"}]

    def created(self: Any, *arguments: Any, **named: Any) -> None:
        creating(self, *arguments, **named)
        self.created_time = utcnow().isoformat()  # moto writes local time and reads it as UTC

    launched = replace(FakeAutoScalingGroup, "replace_autoscaling_group_instances", launch)
    creating = replace(FakeAutoScalingGroup, "__init__", created)
    replace(FakeAutoScalingGroup, "active_instances", active_instances)


def _shares(zones: str | None, running: list[Any], count: int) -> Counter[str | None]:
    """How many of `count` new instances go to each subnet: always to one that has the fewest."""
    if not zones:
        return Counter({None: count})
    load = Counter(dict.fromkeys(zones.split(","), 0))
    load.update(each.instance.subnet_id for each in running if each.instance.subnet_id in load)
    shares: Counter[str | None] = Counter()
    for _ in range(count):
        subnet = min(load, key=lambda each: load[each])
        load[subnet] += 1
        shares[subnet] += 1
    return shares


def _boot(group: Any, launched: list[Any]) -> None:
    """Pending for the boot time; Unhealthy where the image is sick; with the template version that launched it."""
    state = state_now()
    template = group.ec2_launch_template
    for each in launched:
        if template is not None:
            each.launched_with = dict(group.launch_template, Version=_number(template, group.launch_template_version))
        if each.instance.image_id in state.sick_images:
            each.health_status = "Unhealthy"
        if state.boot_seconds > 0:
            each.lifecycle_state = "Pending"
            each.in_service_at = time.monotonic() + state.boot_seconds


def _number(template: Any, version: Any) -> str:
    return str(template.get_version(version).number)


def _mend_describing() -> None:
    """An instance told the group's default template version; a page token of a deleted group was a server error."""

    def describe_auto_scaling_groups(self: Any, *arguments: Any, **named: Any) -> list[Any]:
        groups: list[Any] = described(self, *arguments, **named)
        for each in (state for group in groups for state in group.instance_states):
            if each.lifecycle_state == "Pending" and time.monotonic() >= getattr(each, "in_service_at", 0.0):
                each.lifecycle_state = "InService"
        return groups

    def describe_instance_refreshes(self: Any) -> ActionResult:
        del self
        return ActionResult({"InstanceRefreshes": []})

    template_of: Any = vars(InstanceState)["launch_template"].fget

    def launch_template(self: Any) -> Any:
        return getattr(self, "launched_with", None) or template_of(self)

    described = replace(AutoScalingBackend, "describe_auto_scaling_groups", describe_auto_scaling_groups)
    replace(AutoScalingResponse, "describe_instance_refreshes", describe_instance_refreshes)
    replace(InstanceState, "launch_template", property(launch_template))
