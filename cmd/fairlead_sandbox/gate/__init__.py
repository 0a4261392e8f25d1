"""A Spinnaker Gate on this machine, quirks included, whose pipelines bake and deploy onto the sandbox's AWS."""

from fairlead_sandbox.gate.faults import FaultKind
from fairlead_sandbox.gate.pipelines import deploy_pipeline
from fairlead_sandbox.gate.rolling_back import rollback_pipeline
from fairlead_sandbox.gate.server import Gate, GateSettings

__all__ = ["FaultKind", "Gate", "GateSettings", "deploy_pipeline", "rollback_pipeline"]
