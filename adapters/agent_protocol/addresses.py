"""Where things are: names of topics, queues and objects, all derived, so that nobody needs to write them down.

SNS topics and SQS queues take letters, digits, hyphens and underscores; a fleet's name has one slash.
"""

import re

FLEET = re.compile(r"[a-z0-9][a-z0-9-]{0,39}/[a-z0-9][a-z0-9-]{0,39}")  # environment/service


def order_key(fleet: str) -> str:
    """The object of a fleet's order in the environment's bucket."""
    return f"orders/{fleet}.json"


def topic_name(fleet: str) -> str:
    """The fleet's topic, in each of its regions. No name holds `_` by itself, so two fleets never share one."""
    return f"fairlead-{fleet.replace('/', '_')}"


def agent_queue_name(host: str) -> str:
    """The queue of one instance: named by its id, so never used twice."""
    return f"fairlead-agent-{host}"


def reports_queue_name(environment: str) -> str:
    """The queue into which an environment's agents report, in each region."""
    return f"fairlead-reports-{environment}"


def dead_reports_queue_name(environment: str) -> str:
    """Where what nobody could read of the reports ends. No name holds `_`, so it is no environment's own queue."""
    return f"{reports_queue_name(environment)}_dead"
