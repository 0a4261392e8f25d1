"""What of AWS's answers is read: botocore's own models of the services, with the members that nobody here looks at left
out.

botocore turns every member that its model knows into Python, which for a page of instances is ten times the work of
what is used. How requests are sent, repeated and paged, and how errors are read, stays botocore's.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.loaders import Loader

from adapters.aws.parsing import Parsers

READ: Mapping[str, Mapping[str, frozenset[str]]] = {
    "autoscaling": {
        "AutoScalingGroup": frozenset(
            {"AutoScalingGroupName", "CreatedTime", "Instances", "SuspendedProcesses", "Status", "Tags"}
            | {"MinSize", "MaxSize", "DesiredCapacity"}
            | {"LaunchTemplate", "MixedInstancesPolicy", "LaunchConfigurationName"}
        ),
        "Instance": frozenset({"InstanceId", "ImageId", "LifecycleState", "HealthStatus"}),
        "LaunchConfiguration": frozenset({"LaunchConfigurationName", "ImageId"}),
        "TagDescription": frozenset({"Key", "Value"}),
    },
    "ec2": {
        "Image": frozenset({"Architecture", "CreationDate", "ImageId", "Name", "Tags"}),
        "Instance": frozenset({"InstanceId", "ImageId", "LaunchTime", "Placement", "State", "Tags"}),
        "InstanceState": frozenset({"Name"}),
        "LaunchTemplateVersion": frozenset(
            {"LaunchTemplateId", "VersionNumber", "DefaultVersion", "LaunchTemplateData"}
        ),
        "Placement": frozenset({"AvailabilityZone"}),
        "Reservation": frozenset({"Instances"}),
        "ResponseLaunchTemplateData": frozenset({"ImageId"}),
    },
}


class Models(Loader):  # type: ignore[misc]
    """botocore's loader of models, with what `READ` says of some shapes, by service. It keeps what it has loaded."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """See `botocore.loaders.Loader`."""
        model = super().load_service_model(service_name, type_name, api_version)
        if type_name == "service-2":
            for name, read in READ.get(service_name, {}).items():
                shape = model["shapes"][name]
                shape["members"] = {member: said for member, said in shape["members"].items() if member in read}
        return model


@cache
def models() -> Models:
    """One for the process: a model is megabytes, and takes longer to load than all else of a client."""
    return Models()


def lean_session() -> Any:
    """A botocore session whose clients read no more than is used."""
    session = botocore.session.get_session()
    session.register_component("data_loader", models())
    session.register_component("response_parser_factory", Parsers())
    return session
