"""What a person can try while the demo stays up."""

from fairlead_sandbox.demo.stage import Stage
from fairlead_sandbox.world import REPOSITORY


def what_to_try(stage: Stage) -> str:
    """Commands to copy: each of them does something that the table then shows."""
    world = stage.world
    return f"""
The world stays up until Ctrl-C. In another shell, beside this Python (`. .venv/bin/activate`):

  set -a; . {world.folder}/world.env; set +a            # AWS, and where fairlead.toml is

  fairlead status --config {world.config}
  fairlead why prod/checkout
  fairlead history prod/checkout
  fairlead bump catalog 2.0.4 --env staging             # a commit of its own
  fairlead rollback prod/checkout

  git clone {world.git.url(REPOSITORY)} desired         # edit environments/prod/*.yaml, commit, push
  git -C desired fetch origin '+refs/notes/*:refs/notes/*' && git -C desired log --notes=fairlead

  # a version that never gets healthy; then bump to it
  curl -X PUT {world.gate.url}/sandbox/faults -d '{{"kind": "unhealthy_version", "version": "1.6.0"}}'
  # Gate accepts the next trigger and answers 500
  curl -X PUT {world.gate.url}/sandbox/faults -d '{{"kind": "error_after_accepting", "times": 1}}'
  curl -X DELETE {world.gate.url}/sandbox/faults        # all faults off

  # change an Auto Scaling group by hand
  curl -X POST {world.gate.url}/sandbox/change-by-hand \\
       -d '{{"cluster": "payments-prod-api", "region": "us-east-1", "version": "3.0.9"}}'

  curl {world.gate.url}/sandbox/log                     # every request that Gate received
  tail -f {stage.controller.log}
"""
