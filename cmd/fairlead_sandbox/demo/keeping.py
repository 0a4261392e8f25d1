"""What a person can try while the demo stays up."""

from fairlead_sandbox.demo.by_spinnaker import BAD
from fairlead_sandbox.demo.by_trigger import FLEET
from fairlead_sandbox.demo.stage import Stage


def what_to_try(stage: Stage) -> str:
    """Commands to copy: each of them does something that the table then shows."""
    world, host = stage.world, stage.world.hosts(FLEET)[0].id
    return f"""
The world stays up until Ctrl-C. In another shell, where `fairlead` is on the PATH (. .venv/bin/activate):

  set -a; . {world.folder}/world.env; set +a     # this AWS, this forge, this fairlead.toml
  gate={world.gate.url}

  fairlead status --config {world.config}
  fairlead history prod/checkout
  fairlead bump catalog 2.0.4 --env staging           # a commit like yours
  fairlead rollback staging/catalog                   # and back
  fairlead bump checkout {BAD} --env prod             # still sick: tried, and rolled back
  fairlead why prod/checkout

  # the agents' half: CI uploads a version, then it is bumped; `behaviour` makes it a sick one
  curl -X POST $gate/sandbox/build -d '{{"service": "matchmaker", "version": "2.6.0"}}'
  fairlead bump matchmaker 2.6.0 --env prod           # one host, then half of them, then all
  curl -X POST $gate/sandbox/build -d '{{"service": "matchmaker", "version": "2.7.0", "behaviour": "unhealthy"}}'
  tail -f {world.folder}/hosts/*/agent.log

  # a host of prod/matchmaker: another release by hand; its agent is killed; its service answers 503; and well again
  curl -X POST $gate/sandbox/switch-by-hand -d '{{"host": "{host}"}}'
  curl -X POST $gate/sandbox/kill-agent -d '{{"host": "{host}"}}'
  curl -X POST $gate/sandbox/start-agent -d '{{"host": "{host}"}}'
  curl -X POST $gate/sandbox/make-sick -d '{{"host": "{host}"}}'
  curl -X POST $gate/sandbox/make-well -d '{{"host": "{host}"}}'

  git clone {world.git.url(world.repository)} desired
  cd desired && git checkout -b mine                  # edit environments/prod/*.yaml, commit, git push origin mine
  ada="Authorization: Bearer $FORGE_TOKEN"            # merge it on the forge, which speaks GitHub's dialect
  curl -H "$ada" $FORGE/pulls -d '{{"head": "mine", "base": "main", "title": "My change"}}'      # says its number
  curl -H "$ada" -X PUT $FORGE/pulls/9/merge
  curl -H "$ada" $FORGE/commits/main/status           # what Fairlead says on it

  # switch a fault on: a version that never gets healthy, a Gate that takes the next deploy and answers 500; all off
  curl -X PUT $gate/sandbox/faults -d '{{"kind": "unhealthy_version", "version": "3.2.0"}}'
  curl -X PUT $gate/sandbox/faults -d '{{"kind": "error_after_accepting", "times": 1}}'
  curl -X DELETE $gate/sandbox/faults

  # change an Auto Scaling group by hand
  curl -X POST $gate/sandbox/change-by-hand \\
       -d '{{"cluster": "payments-prod-api", "region": "us-east-1", "version": "3.0.9"}}'

  curl $gate/sandbox/log                              # every request that Gate received
  tail -f {stage.controller.log}
"""
